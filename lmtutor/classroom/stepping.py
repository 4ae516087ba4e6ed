"""A picture with a slider: its steps are drawn beforehand, and a few lines of script show one of them at a time.

It asks no server for anything, so it works in a page that lies on a disk. Without scripting the step `still` stays, and the controls are
not shown. It moves only when somebody moves it, or presses play; who asked for less motion gets the slider alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from lmtutor.errors import ConfigError

SCRIPT = """
(function () {
  var root = document.getElementById("OWN"); if (!root) { return; }
  var one = function (what) { return root.querySelector(what); };
  var all = function (what) { return Array.prototype.slice.call(root.querySelectorAll(what)); };
  var slider = one("input[type=range]"), said = one("output"), play = one("button"), timer = null;
  var show = function () {
    var picked = one("input[type=radio]:checked"), name = (picked ? picked.value : "0") + "-" + slider.value;
    all("[data-frame]").forEach(function (g) { g.style.display = g.getAttribute("data-frame") === name ? "" : "none"; });
    all("input[type=checkbox]").forEach(function (box) {
      all("." + box.value).forEach(function (g) { g.style.display = box.checked ? "" : "none"; });
    });
    said.textContent = slider.value;
  };
  var stop = function () { clearInterval(timer); timer = null; play.textContent = "play"; };
  play.addEventListener("click", function () {
    if (timer) { return stop(); }
    if (slider.value === slider.max) { slider.value = slider.min; show(); }
    play.textContent = "stop";
    timer = setInterval(function () {
      slider.value = Number(slider.value) + 1; show();
      if (slider.value === slider.max) { stop(); }
    }, PACE);
  });
  slider.addEventListener("input", function () { if (timer) { stop(); } show(); });
  all("input[type=radio], input[type=checkbox]").forEach(function (box) { box.addEventListener("change", show); });
  if (window.matchMedia && window.matchMedia("(prefers-reduced-motion: reduce)").matches) { play.style.display = "none"; }
  one(".lm-controls").style.display = "";
  show();
})();
"""

BUTTON = "border: 1px solid currentColor; border-radius: 4px; background: none; color: inherit; padding: 0 0.7em"


@dataclass(frozen=True)
class Panel:
    """One drawing of a stepped picture; panels stand side by side, and one below the other where the page is narrow."""

    width: int
    height: int
    behind: str = ""  # SVG that is always there
    frames: Mapping[str, Sequence[str]] = field(default_factory=dict)  # what may be picked -> the SVG of each step
    before: str = ""  # SVG over it that is always there


@dataclass(frozen=True)
class Switch:
    """A box that shows or hides all marks of a class."""

    name: str  # the class in the panels' SVG
    label: str
    colour: str
    on: bool = False


def stepped(panels: Sequence[Panel], *, own: str, alt: str, slider: str, still: int, first: int = 0, pick: str = "",
            switches: Sequence[Switch] = (), pace: int = 900) -> None:
    """Show a picture whose steps a reader can go through.

    Parameters
    ----------
    own : str       a name that no other picture of the page has
    alt : str       what the picture shows, finding first, for those who cannot see it
    slider : str    what the slider counts: "points seen"
    still : int     the step that is shown first, and where no script runs
    first : int     the number of the first step
    pick : str      what the frames' names are, where there are several: "prompt"
    pace : int      milliseconds a step when it plays

    Raises
    ------
    ConfigError    panels whose frames differ in their names or their number, or `still` is none of them
    """
    from IPython.display import display

    names = list(panels[0].frames) if panels else []
    counts = {len(steps) for panel in panels for steps in panel.frames.values()}
    if not names or any(list(panel.frames) != names for panel in panels) or len(counts) != 1:
        raise ConfigError("every panel needs the same names of frames, and as many steps for each")
    last = first + counts.pop() - 1
    if not first <= still <= last:
        raise ConfigError(f"still is {still}; the steps go from {first} to {last}")
    drawn = "".join(svg(panel, still, first, {switch.name for switch in switches if not switch.on}) for panel in panels)
    boxes = "".join(
        f'<label style="color: {switch.colour}; white-space: nowrap; margin-right: 1em"><input type="checkbox" value="{switch.name}"'
        f'{" checked" * switch.on}> {escape(switch.label)}</label>' for switch in switches)
    radios = "".join(
        f'<label style="margin-right: 0.8em"><input type="radio" name="{own}-pick" value="{i}"{" checked" * (i == 0)}> {escape(name)}</label>'
        for i, name in enumerate(names)) if len(names) > 1 else ""
    controls = (
        f'<div><label>{escape(slider)} <input type="range" min="{first}" max="{last}" value="{still}" style="width: 12em; vertical-align: middle">'
        f'</label> <output style="display: inline-block; min-width: 1.6em">{still}</output> <button type="button" style="{BUTTON}">play</button></div>'
        + (f"<div>{escape(pick)} {radios}</div>" if radios else "") + (f"<div>{boxes}</div>" if boxes else ""))
    html = (f'<figure id="{own}" class="lm-steps" style="margin: 0"><div role="img" aria-label="{escape(alt)}" '
            f'style="display: flex; flex-wrap: wrap; gap: 4px">{drawn}</div><div class="lm-controls" style="display: none; line-height: 1.7">'
            f"{controls}</div><script>{SCRIPT.replace('OWN', own).replace('PACE', str(pace))}</script></figure>")
    display({"text/html": html, "text/plain": alt}, raw=True)


def svg(panel: Panel, still: int, first: int, off: set[str]) -> str:
    """One panel; all frames but the first name's `still` are hidden, and what is switched off as well."""
    def hidden(text):
        for name in off:
            text = text.replace(f'class="{name}"', f'class="{name}" style="display: none"')
        return text

    groups = "".join(
        f'<g data-frame="{i}-{first + step}"{"" if (i, first + step) == (0, still) else " style=" + chr(34) + "display: none" + chr(34)}>{hidden(text)}</g>'
        for i, steps in enumerate(panel.frames.values()) for step, text in enumerate(steps))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {panel.width} {panel.height}" width="{panel.width}" height="{panel.height}" '
            f'font-family="sans-serif" font-size="13" style="flex: 1 1 280px; min-width: 0; max-width: {panel.width}px; height: auto">{panel.behind}{groups}{panel.before}</svg>')
