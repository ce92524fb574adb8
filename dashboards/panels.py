"""What a panel is, as a value, and how it becomes Grafana's JSON.

Bars count what happened in the time of each bar, which is a minute or more: `increase(counter[$__interval])`. Series that are 0 all the
time have no legend. Every panel has a unit, and a sentence that says what to read in it. No panel and no variable names a data source:
the dashboard's variable `datasource` is that. In expressions `S_` stands for the prefix of our metrics.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_kinds
from grafana_foundation_sdk.models import prometheus as prometheus_kinds

from stream_retrain.views.catalogue import PREFIX, STATES

__all__ = ["STATE_OF_DRIFT", "STATE_OF_WORKER", "YES", "Panel", "annotation", "board", "variable"]

Kind: TypeAlias = Literal["stat", "lines", "bars", "states", "heatmap", "table"]
States: TypeAlias = Mapping[int, tuple[str, str]]
"""Text and colour of each number."""
_COLOURS: Final = ("blue", "blue", "green", "orange", "yellow", "text", "red")
STATE_OF_WORKER: Final[States] = {number: (state, colour) for number, (state, colour) in enumerate(zip(STATES, _COLOURS, strict=True))}
STATE_OF_DRIFT: Final[States] = {0: ("stable", "green"), 1: ("warning", "yellow"), 2: ("drift", "red")}
YES: Final[States] = {0: ("no", "text"), 1: ("yes", "blue")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """A panel. `queries` are pairs of expression and legend; `dashed` is a regular expression of series that are lines to compare with."""

    title: str
    says: str
    kind: Kind
    queries: tuple[tuple[str, str], ...]
    unit: str
    width: int = 8
    height: int = 8
    states: States | None = None
    bad_above: float | None = None
    """A stat is red from there on."""
    names: bool = False
    """A stat shows the legends, and not the numbers."""
    dashed: str | None = None
    log: bool = False
    low: float | None = None
    link: str | None = None
    """Of a table: where a row's pipeline leads."""
    columns: tuple[tuple[str, str], ...] = ()
    """Of a table: title and unit of each query's column."""


def board(title: str, uid: str, says: str, rows: Iterable[tuple[str, tuple[Panel, ...]]]) -> build.Dashboard:
    """A dashboard of rows; variables and annotations are added by who asks for it."""
    made = (
        build.Dashboard(title)
        .uid(uid)
        .description(says)
        .tags(["stream_retrain"])
        .timezone("browser")
        .refresh("30s")
        .time("now-3h", "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    made.link(build.DashboardLink("stream_retrain").tags(["stream_retrain"]).as_dropdown(True).keep_time(True).include_vars(True))
    numbers = itertools.count(1)
    for heading, panels in rows:
        made.with_row(build.Row(heading).id(next(numbers)))
        for panel in panels:
            made.with_panel(_built(panel).id(next(numbers)))
    return made


def variable(name: str, label: str, expression: str, *, several: bool = False) -> build.QueryVariable:
    """A variable whose values come from a label of a metric."""
    made = build.QueryVariable(name).label(label).query(_named(expression)).datasource(_source())
    made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.NATURAL_ASC)
    return made.multi(True).include_all(True).all_value(".*") if several else made


def annotation(name: str, expression: str, colour: str, title: str) -> build.AnnotationQuery:
    """Marks on every panel where something happened."""
    made = build.AnnotationQuery().name(name).datasource(_source()).enable(True).icon_color(colour)
    return made.expr(_named(expression)).step("15s").title_format(title)


def _source() -> Any:
    return kinds.DataSourceRef(type_val="prometheus", uid="${datasource}")


def _named(expression: str) -> str:
    return expression.replace("S_", PREFIX)


def _built(panel: Panel) -> Any:
    made = {"stat": _stat, "lines": _lines, "bars": _bars, "states": _states, "heatmap": _heatmap, "table": _table}[panel.kind](panel)
    made.title(panel.title).description(panel.says).datasource(_source()).unit(panel.unit).span(panel.width).height(panel.height)
    for number, (expression, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(_named(expression)).legend_format(legend).ref_id(chr(ord("A") + number)).datasource(_source())
        if panel.kind in ("stat", "table"):
            query.instant()
        else:
            query.range()
        if panel.kind in ("heatmap", "table"):
            formats = prometheus_kinds.PromQueryFormat
            query.format(formats.HEATMAP if panel.kind == "heatmap" else formats.TABLE)
        if panel.kind == "bars":
            query.interval("1m")
        made.with_target(query)
    if panel.low is not None and panel.kind != "heatmap":
        made.min(panel.low)
    return made


def _mapped(states: States) -> list[Any]:
    results = {str(number): model.ValueMappingResult(text=text, color=colour, index=number) for number, (text, colour) in states.items()}
    return [model.ValueMap(options=results)]


def _stat(panel: Panel) -> Any:
    made = stat.Panel().graph_mode(kinds.BigValueGraphMode.NONE).reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    made.color_mode(kinds.BigValueColorMode.BACKGROUND if panel.states or panel.bad_above is not None else kinds.BigValueColorMode.NONE)
    made.no_value("none").text_mode(kinds.BigValueTextMode.NAME if panel.names else kinds.BigValueTextMode.AUTO)
    steps = [model.Threshold(value=None, color="green")]
    if panel.bad_above is not None:
        steps.append(model.Threshold(value=panel.bad_above, color="red"))
    made.thresholds(build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    return made.mappings(_mapped(panel.states)) if panel.states else made


def _graph() -> Any:
    made = timeseries.Panel().tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    made.legend(
        common.VizLegendOptions().display_mode(kinds.LegendDisplayMode.LIST).placement(kinds.LegendPlacement.BOTTOM).show_legend(True)
    )
    hidden = model.DynamicConfigValue(id_val="custom.hideFrom", value={"legend": True, "tooltip": True, "viz": False})
    made.with_override(model.MatcherConfig(id_val="byValue", options={"reducer": "allIsZero", "op": "gte", "value": 0}), [hidden])
    return made


def _lines(panel: Panel) -> Any:
    made = _graph().line_width(1).fill_opacity(0).span_nulls(False).show_points(kinds.VisibilityMode.NEVER)
    if panel.log:
        made.scale_distribution(common.ScaleDistributionConfig().type(kinds.ScaleDistribution.LOG).log(10))
    if panel.dashed:
        dashes = model.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 6]})
        made.override_by_regexp(panel.dashed, [dashes])
    return made


def _bars(_: Panel) -> Any:
    made = _graph().draw_style(kinds.GraphDrawStyle.BARS).fill_opacity(70).line_width(0).min(0)
    return made.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))


def _states(panel: Panel) -> Any:
    made = statetimeline.Panel().show_value(kinds.VisibilityMode.NEVER).row_height(0.8).merge_values(True)
    return made.mappings(_mapped(panel.states or {}))


def _heatmap(panel: Panel) -> Any:
    made = heatmap.Panel().calculate(False).y_axis(heatmap.YAxisConfig().unit(panel.unit))
    return made.color(heatmap.HeatmapColorOptions().mode(heatmap_kinds.HeatmapColorMode.SCHEME).scheme("Oranges").steps(32))


def _table(panel: Panel) -> Any:
    """One row a pipeline: the queries are joined by it, their values named and given units."""
    made = table.Panel()
    made.with_transformation(model.DataTransformerConfig(id_val="joinByField", options={"byField": "pipeline", "mode": "outer"}))
    values = [f"Value #{chr(ord('A') + number)}" for number in range(len(panel.queries))]
    hidden = {f"Time {number}": True for number in range(1, len(values) + 1)} | {"Time": True}
    renamed = {value: title for value, (title, _) in zip(values, panel.columns, strict=True)}
    order = {name: number for number, name in enumerate(["pipeline", *values])}
    organised = {"excludeByName": hidden, "renameByName": renamed, "indexByName": order}
    made.with_transformation(model.DataTransformerConfig(id_val="organize", options=organised))
    for title, unit in panel.columns:
        properties = [model.DynamicConfigValue(id_val="unit", value=unit)]
        if unit == "none" and panel.states:
            properties += [model.DynamicConfigValue(id_val="mappings", value=_mapped(panel.states))]
        made.override_by_name(title, properties)
    if panel.link:
        link = [{"title": "Open", "url": panel.link}]
        made.override_by_name("pipeline", [model.DynamicConfigValue(id_val="links", value=link)])
    return made
