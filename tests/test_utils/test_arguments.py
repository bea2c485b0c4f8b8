"""Numbers of the command line: a wrong one is named, NaN and infinity are none."""

import argparse

import pytest

from mmdecouple.utils.arguments import integer, real


@pytest.mark.parametrize(
    'kind, text',
    [
        (real(), 'nan'),
        (real(), '-inf'),
        (real(), '1,5'),
        (real(0), '-1e-9'),
        (real(0, 1), '1.001'),
        (real(0, 1), 'inf'),
        (integer(0), '1.5'),
        (integer(0), '-1'),
        (integer(1, 3), '4'),
        (integer(1), 'one'),
    ],
)
def test_a_number_out_of_range_is_named(kind, text):
    with pytest.raises(argparse.ArgumentTypeError, match=f'must be a .*got {text}'):
        kind(text)


def test_the_ends_of_a_range_belong_to_it():
    assert (real(0, 1)('0'), real(0, 1)('1'), real()('-2.5e3'), integer(1, 3)('3')) == (0, 1, -2500, 3)
