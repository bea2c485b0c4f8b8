"""Name, unit, direction and meaning of metrics: the measure that computes a metric holds its `MetricSpec`."""

from dataclasses import dataclass, replace

RECOGNITION = 'Does it recognize objects?'
COUPLING = 'Does it depend on context?'
SEGMENTATION = 'How well do frozen features segment?'
FURTHER = 'Further figures'


@dataclass(frozen=True)
class MetricSpec:
    """Name, unit, direction and meaning of one metric, as read by terminal, reports, ablation tables and docs.

    Args:
        key: Key in `metrics` of a report.
        label: Name in every table, and name of the column in ablation tables; unique.
        meaning: One sentence that says what is measured.
        better: `higher`, `lower`, the value that is best (`0`, `1`), or empty where no direction is claimed.
        percent: Whether the value is shown times 100; a report holds the share, in [0, 1].
        group: Heading under which reports list the metric.
        headline: Whether short tables and summaries show the metric.
        histogram: Key in `histograms` of a report of the distribution that reports draw for the metric; empty for
            none.
        digits: Digits after the decimal point; None for one where `percent` is set, else three.
        unit: What a value is if it is not a percentage, such as `cosine`; empty if unknown.
        items: What is counted, in the plural, such as `pairs`.
        fewest: Number of items below which tables state the number.
    """

    key: str
    label: str
    meaning: str
    better: str = ''
    percent: bool = False
    group: str = COUPLING
    headline: bool = False
    histogram: str = ''
    digits: int | None = None
    unit: str = ''
    items: str = ''
    fewest: int = 0

    @property
    def title(self) -> str:
        """Label with the unit."""
        return self.label + (' (%)' if self.percent else '')

    @property
    def direction(self) -> str:
        """Text such as `lower is better`; empty where no direction is claimed."""
        return self.better and f'{self.better} is {"best" if self.better.isdecimal() else "better"}'

    def show(self, value: float | None, sign: bool = False) -> str:
        """Returns a value as text, in the unit of the metric.

        Args:
            value: Value as reports hold it; None and NaN are shown as a dash.
            sign: Whether positive values get a plus sign.
        """
        if value is None or value != value:
            return '–'
        digits = (1 if self.percent else 3) if self.digits is None else self.digits
        text = f'{(100 if self.percent else 1) * value:+.{digits}f}'
        if not text.strip('+-0.'):
            return text.lstrip('+-')  # no sign for what rounds to zero
        return (text if sign else text.lstrip('+')).replace('-', '−')

    def text(self, value: float | None, sign: bool = False) -> str:
        """Returns a value with its unit: `24.1 %`, or as a difference with `sign`, `+1.2 points`; see `show`."""
        return self.show(value, sign) + (' points' if sign else ' %') * self.percent

    def verdict(self, value: float, reference: float) -> str:
        """Returns `better` or `worse`, compared with the reference; empty where no direction is claimed."""
        if self.better in ('higher', 'lower'):
            return 'better' if (value > reference) == (self.better == 'higher') else 'worse'
        if not self.better:
            return ''
        return 'better' if abs(value - float(self.better)) < abs(reference - float(self.better)) else 'worse'

    def variant(self, name: str, other: str, suffix: str) -> 'MetricSpec':
        """Returns the spec of the same metric for other settings of the measure.

        Args:
            name: Name of the measure with its default settings, with which `key` begins.
            other: Name of the measure with the other settings.
            suffix: Text that is appended to the label.
        """
        histogram = self.histogram and other + self.histogram.removeprefix(name)
        return replace(
            self, key=other + self.key.removeprefix(name), label=f'{self.label}, {suffix}', histogram=histogram
        )
