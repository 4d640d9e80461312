"""What lmms-eval finds by the entry point `lmms_eval.models`: a model `igep`, and its place. See `lmms_eval_model`."""

from lmms_eval.models.registry_v2 import ModelManifest


MANIFEST = ModelManifest("igep", chat_class_path="igep.trainers.evaluation.lmms_eval_model.IGEPModel")
