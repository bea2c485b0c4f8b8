"""Close names for error messages."""

from collections.abc import Iterable
from difflib import get_close_matches

# Symbol of the paper, or name in other projects -> names of our arguments.
SYNONYMS = {
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
    """Returns the known names that are closest to a name, the closest first.

    Args:
        name: Unknown name.
        known: Known names.
        max_names: Largest number of names to return.
    """
    known = sorted(set(known))
    synonyms = [other for other in SYNONYMS.get(name.lower(), ()) if other in known]
    by_case = {other.lower(): other for other in known}
    similar = [by_case[other] for other in get_close_matches(name.lower(), by_case, max_names, 0.6)]
    return list(dict.fromkeys([*synonyms, *similar]))[:max_names]


def suggestion(names: Iterable[str], known: Iterable[str] = ()) -> str:
    """Returns the end of an error message: `; close: a, b`, or else the known names, shortened, or an empty string."""
    names, known = list(names), sorted(known)
    if names:
        return f'; close: {", ".join(names)}'
    if not known:
        return ''
    dots = ', ...' if len(known) > 8 else ''
    return f'; there are {", ".join(known[:8])}{dots}'
