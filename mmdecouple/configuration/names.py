"""Close names, for messages that say what was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

# The paper's symbols and the words of other projects, beside the names of our arguments.
WORDS = {
    'lambda': ('loss_weight',),
    'lambda_dc': ('loss_weight',),
    'weight': ('loss_weight', 'weight_decay'),
    'tau': ('temperature', 'student_temperature', 'teacher_temperature'),
    'temp': ('temperature', 'student_temperature', 'teacher_temperature'),
    't': ('temperature', 'student_temperature', 'teacher_temperature'),
    'k': ('queue_length', 'prototypes', 'out_channels', 'num_boxes'),
    'queue_len': ('queue_length',),
    'queue_size': ('queue_length',),
    'num_prototypes': ('prototypes', 'out_channels'),
    'm': ('momentum',),
    'ema': ('momentum',),
    'r_c': ('cut_ratio',),
    'rc': ('cut_ratio',),
    'mask_ratio': ('cut_ratio',),
    'n': ('grid',),
    'num_boxes': ('grid',),
    'r_d': ('ratio',),
    'epochs': ('max_epochs',),
    'workers': ('num_workers',),
    'bs': ('batch_size',),
    'wd': ('weight_decay',),
    'learning_rate': ('lr',),
}


def close_names(name: str, known: Iterable[str], max_names: int = 3) -> list[str]:
    """Those of the known names that were probably meant, the likeliest first.

    Args:
        name: What was written.
        known: What could have been written.
        max_names: Largest number of names.
    """
    known = sorted(set(known))
    meant = [word for word in WORDS.get(name.lower(), ()) if word in known]
    by_case = {other.lower(): other for other in known}
    spelt = [by_case[other] for other in get_close_matches(name.lower(), by_case, max_names, 0.6)]
    return list(dict.fromkeys([*meant, *spelt]))[:max_names]


def meant(names: Iterable[str], otherwise: Iterable[str] = ()) -> str:
    """`; close: a, b` for the end of a sentence, or what there is, shortened, or nothing."""
    names, otherwise = list(names), sorted(otherwise)
    if names:
        return f'; close: {", ".join(names)}'
    if not otherwise:
        return ''
    dots = ', ...' if len(otherwise) > 8 else ''
    return f'; there are {", ".join(otherwise[:8])}{dots}'
