"""Measurement of cards, piece by piece: a stopped card continues with the first piece that is missing."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmdecouple.card.pieces import Piece, Reading
from mmdecouple.card.plan import Plan, first_of_segmentation
from mmdecouple.evaluation.measures.metric_spec import MetricSpec
from mmdecouple.evaluation.report_values import difference, metric_value
from mmdecouple.networks.open_networks import fingerprint
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import check_regular, write_json
from mmdecouple.version import __version__

FORMAT = 'mmdecouple-card/1'
_PARTS = ('metrics', 'values', 'groups', 'resamples')


def read_card(path: Path) -> dict[str, Any]:
    """Returns the card in a file; empty if the file does not exist.

    Raises:
        UserError: The file is not a card.
    """
    if not path.exists():
        return {}
    check_regular(path, 'card')
    try:
        card = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f'{path} is not valid JSON ({error}); remove it, or name another folder (--out).') from error
    if not isinstance(card, dict) or card.get('format') != FORMAT or not isinstance(card.get('pieces'), dict):
        raise UserError(f'{path} is not a card; remove it, or name another folder (--out).')
    return card


class CardWork:
    """The pieces of one network that are still to be measured, and the file of its card.

    Args:
        name: Name of the network.
        spec: Specification of the network, for the card.
        reading: The network.
        plan: The pieces.
        path: File of the card, which may hold earlier pieces.

    Raises:
        UserError: See `read_card`.
    """

    def __init__(self, name: str, spec: str, reading: Reading, plan: Plan, path: Path) -> None:
        self.name, self.reading, self.plan, self.path = name, reading, plan, path
        network = reading.network
        self.card: dict[str, Any] = dict(
            format=FORMAT,
            version=__version__,
            name=name,
            network=spec,
            network_sha256=fingerprint(network),
            checkpoint=network.checkpoint and str(network.checkpoint),
            cell=network.cell,
            data=plan.data,
            limit=plan.limit,
            seed=plan.seed,
            left_out=[],
            rows=[],
            pieces={},
        )
        self.records, self.missing = self._records(), []
        earlier = read_card(path).get('pieces', {})
        for piece in self.pieces:
            found = earlier.get(piece.name)
            if isinstance(found, dict) and found.get('record') == self.records[piece.name]:
                self.card['pieces'][piece.name] = found
            else:
                self.missing.append(piece)

    @property
    def pieces(self) -> list[Piece]:
        """Pieces that this network can be measured on, in their order."""
        return [piece for piece in self.plan.pieces if piece.name in self.records]

    def _records(self) -> dict[str, str]:
        found = {}
        left_out: dict[str, list[str]] = {reason: list(titles) for reason, titles in self.plan.left_out.items()}
        for piece in self.plan.pieces:
            if reason := piece.obstacle(self.reading):
                left_out.setdefault(reason, []).append(piece.title)
                continue
            facts = dict(network=self.card['network_sha256'], version=__version__, piece=piece.identity())
            found[piece.name] = digest_of(facts)
        self.card['left_out'] = [dict(titles=titles, reason=reason) for reason, titles in left_out.items()]
        return found

    def estimate(self) -> float:
        """Returns the expected time of all missing pieces in seconds."""
        first = first_of_segmentation(self.missing)
        shared = first.shared_passes(self.reading) if first else 0.0
        return shared + sum(piece.estimate(self.reading) for piece in self.missing)

    def run(self, say: Callable[[str], None]) -> dict[str, Any]:
        """Measures the missing pieces, writes the card after each of them, and returns it.

        Args:
            say: Called with a line for every piece.
        """
        for piece in self.missing:
            start = time.perf_counter()
            part = piece.run(self.reading)
            seconds = round(time.perf_counter() - start, 1)
            self.card['pieces'][piece.name] = dict(
                record=self.records[piece.name],
                title=piece.title,
                protocol=piece.protocol(self.reading),
                seconds=seconds,
                **part,
            )
            self.write()
            say(f'{self.name}: {piece.title}: {seconds:.0f} s')
        if not self.missing:
            self.write()
        return self.card

    def write(self) -> None:
        """Writes the card with the rows of all measured pieces, in the order of the plan."""
        self.card['pieces'] = {
            piece.name: self.card['pieces'][piece.name] for piece in self.pieces if piece.name in self.card['pieces']
        }
        self.card['rows'] = [
            _row(spec, self.card['pieces'][piece.name]) for piece, specs in self.sections() for spec in specs
        ]
        self.card['seconds'] = round(sum(part['seconds'] for part in self.card['pieces'].values()), 1)
        write_json(self.path, self.card)

    def sections(self) -> list[tuple[Piece, list[MetricSpec]]]:
        """Returns the measured pieces with the specs of their rows."""
        parts = self.card['pieces']
        return [(piece, piece.specs(parts[piece.name]['metrics'])) for piece in self.pieces if piece.name in parts]


def merged(card: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the numbers of all pieces of a card as one report, see `CouplingMetric`."""
    report: dict[str, Any] = {part: {} for part in _PARTS}
    for piece in card['pieces'].values():
        for part in _PARTS:
            report[part].update(piece.get(part, {}))
    notes = dict.fromkeys(note for piece in card['pieces'].values() for note in piece['notes'])
    return {**report, 'notes': list(notes), 'dataset': card['data']}


def add_differences(works: list[CardWork]) -> None:
    """Adds the differences to the first card to all others, and writes these again."""
    first, *others = works
    reference = merged(first.card)
    for work in others:
        report = merged(work.card)
        changes = {key: difference(report, reference, key) for key in report['metrics']}
        found = {key: change._asdict() for key, change in changes.items() if change is not None}
        work.card['differences'] = dict(to=first.name, metrics=found)
        work.write()


def _row(spec: MetricSpec, part: Mapping[str, Any]) -> dict[str, Any]:
    entry = {what: metric_value(part, spec.key, what) for what in ('value', 'low', 'high', 'count')}
    return dict(
        name=spec.label,
        key=spec.key,
        **entry,
        unit='share' if spec.percent else spec.unit,
        better=spec.better,
        protocol=part['protocol'],
        seconds=part['seconds'],
    )
