"""Captions as the tokens that the COCO caption evaluation counts: Penn Treebank, lower-case, without punctuation.

COCO pipes captions through Stanford CoreNLP 3.4.1 (`PTBTokenizer -preserveLines -lowerCase`) and drops a list of
punctuation. No Python library gives these tokens: NLTK's `TreebankWordTokenizer` splits otherwise at slashes, numbers,
joined words and abbreviations. The rules here are those of the Penn Treebank as that program was seen to apply them;
what it does with rarer abbreviations and markup is not imitated.

Two quirks of COCO's list are kept, because references and candidates are counted with them: brackets stay, as `-lrb-`
and `-rrb-` (the list names them in capitals), and so do several marks in a row, like `?!`.
"""

import re


ABBREVIATIONS = (
    "mr|mrs|ms|dr|prof|st|ave|rd|blvd|vs|etc|jr|sr|inc|co|corp|ltd|ft|est|dept|"
    "jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|"
    "mon|tue|wed|thu|fri|gen|col|sgt|capt|lt|maj|rev|hon|gov|sen|rep|pres|al|cf|bldg|tel|ext"
)
BEFORE_NUMBERS = "no|nos|fig|pp|ca"  # abbreviations only where a number follows
SPLIT_WORDS = {
    "cannot": ["can", "not"],
    "gonna": ["gon", "na"],
    "gotta": ["got", "ta"],
    "wanna": ["wan", "na"],
    "gimme": ["gim", "me"],
    "lemme": ["lem", "me"],
    "'tis": ["'t", "is"],
    "'twas": ["'t", "was"],
}
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
SPELLINGS = str.maketrans(
    {
        **dict.fromkeys("‘’‛", "'"),
        **dict.fromkeys("“”„«»", '"'),
        **dict.fromkeys("–—", " -- "),
        "…": "...",
        "½": "1/2",
        "¼": "1/4",
        "¾": "3/4",
        "£": "#",
        "€": "$",
        "¢": " cents ",
    }
)
TOKEN = re.compile(
    rf"""
      https?://[^\s"<>|()]*[^\s"<>|()\[\]{{}}.,;:!?'-]
    | </?[a-z!][^<>\s]*>
    | [a-z0-9][\w.+-]*@[a-z0-9]+(?:[.-][a-z0-9]+)*
    | [:;]-?[()]                                                   # a smiley is one token
    | (?:[a-z]\.)+(?![^\W\d_])                                     # initials
    | (?:{ABBREVIATIONS})\.(?![^\W_])
    | (?:{BEFORE_NUMBERS})\.(?=\s*\d)
    | ma'am\b | [^\W_]+\.(?=[,:;])
    | '\d\ds\b | '(?:tis|twas|em|cause)\b
    | [-+]?[.,:]?\d++(?:[.,:/]\d++)*+(?:-\d++(?:[.,:]\d++)*+)*+(?![^\W_])   # a number, or a range of them
    | [.,:]?\d+(?:[.,:]\d+)+ | [.,:]\d+                            # a number that a word sticks to
    | [^\W\d_]+(?:\.[^\W\d_]+)+                                    # words joined by points, like a host's name
    | (?:[dlo]'(?=[^\W\d_]{{2}}))?[^\W_]+(?:[-_][^\W_]+)*(?:/[^\W_]+(?:[-_][^\W_]+)*){{0,2}}
    | '' | '(?:s|m|d|ll|re|ve)\b
    | [!?]+ | \.+ | -{{5,}} | -+ | _+ | \*+
    | \S
    """,
    re.VERBOSE,
)
NEGATED = re.compile("[^n]n$")
PUNCTUATION = {"'", "''", "`", '"', ".", "?", "!", ",", ":", "-", "--", "---", "----", ";"}


def caption_tokens(text: str) -> list[str]:
    """Splits a caption or an answer into tokens.

    Args:
        text (`str`): Any text; line breaks count as spaces.

    Returns:
        `list[str]`: Lower-case tokens without punctuation; empty for text that has none.
    """
    text = text.replace("&amp;", "&").translate(SPELLINGS).lower()
    # CoreNLP deletes what it cannot tell, like emoji.
    text = "".join(character for character in text if character <= "\uffff")
    tokens = []
    position = 0
    while match := TOKEN.search(text, position):
        token, position = match.group(), match.end()
        if NEGATED.search(token) and text.startswith("'t", position):  # do|n't
            tokens.append(token[:-1])
            token, position = "n't", position + 2
        if token in SPLIT_WORDS:
            tokens += SPLIT_WORDS[token]
        elif token in PUNCTUATION or not token.strip("."):
            continue
        else:
            tokens.append("".join(BRACKETS.get(character, character) for character in token))
    return tokens
