"""`trainers/sft.py` that also notes which samples each rank trains on: the script of the distributed mixture test."""

import json
import os
from pathlib import Path

from igep.trainers import sft
from igep.trainers.sft_trainer import IGEPSFTTrainer


class RecordingTrainer(IGEPSFTTrainer):
    def compute_loss(self, model, inputs, *args, **kwargs):
        line = json.dumps({"step": self.state.global_step, "samples": inputs["sample_ids"]})
        with (Path(os.environ["RECORDED_SAMPLES"]) / f"rank-{self.args.process_index}.jsonl").open("a") as file:
            file.write(line + "\n")
        return super().compute_loss(model, inputs, *args, **kwargs)


if __name__ == "__main__":
    sft.IGEPSFTTrainer = RecordingTrainer
    sft.main()
