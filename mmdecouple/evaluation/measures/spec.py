"""How a metric is called, shown and read: one `MetricSpec` a metric, on the measure that computes it."""

from dataclasses import dataclass, replace

RECOGNITION = 'Does it recognize objects?'
COUPLING = 'Does it lean on context?'
FURTHER = 'Further figures'


@dataclass(frozen=True)
class MetricSpec:
    """Name, unit, direction and meaning of one metric. Terminal, reports, ablation tables and docs read them here.

    Args:
        key: Key in `metrics` of a report.
        label: What every table calls it, and by which columns of ablation tables name it; unique.
        meaning: One sentence.
        better: `higher`, `lower`, the value that is best (`0`, `1`), or empty where no direction is claimed.
        percent: Whether it is shown times 100; a report holds the share, in [0, 1].
        group: Heading under which reports list it.
        headline: Whether short tables and summaries show it.
        histogram: Key in `histograms` of a report whose distribution reports draw for it; empty for none.
    """

    key: str
    label: str
    meaning: str
    better: str = ''
    percent: bool = False
    group: str = COUPLING
    headline: bool = False
    histogram: str = ''

    @property
    def title(self) -> str:
        """Label with the unit."""
        return self.label + (' (%)' if self.percent else '')

    @property
    def direction(self) -> str:
        """What is good, in words; empty where no direction is claimed."""
        return self.better and f'{self.better} is {"best" if self.better.isdecimal() else "better"}'

    def show(self, value: float | None, sign: bool = False) -> str:
        """A value in the unit of the metric, with one digit for percents and three for others.

        Args:
            value: As reports hold it; None and NaN are shown as a dash.
            sign: Whether positive values get a plus.
        """
        if value is None or value != value:
            return '–'
        text = f'{100 * value:+.1f}' if self.percent else f'{value:+.3f}'
        return (text if sign else text.lstrip('+')).replace('-', '−')

    def verdict(self, value: float, reference: float) -> str:
        """`better` or `worse` than the reference; empty where no direction is claimed."""
        if self.better in ('higher', 'lower'):
            return 'better' if (value > reference) == (self.better == 'higher') else 'worse'
        if not self.better:
            return ''
        return 'better' if abs(value - float(self.better)) < abs(reference - float(self.better)) else 'worse'

    def variant(self, name: str, other: str, suffix: str) -> 'MetricSpec':
        """The same metric of a measure with other settings.

        Args:
            name: Of the measure with its usual settings, with which `key` begins.
            other: Its name with these settings.
            suffix: What is added to the label.
        """
        histogram = self.histogram and other + self.histogram.removeprefix(name)
        return replace(
            self, key=other + self.key.removeprefix(name), label=f'{self.label}, {suffix}', histogram=histogram
        )
