/* The decision guide: sliders, curves and what they say. The upper half is lmtutor/compare/guide.py once more, and a test gives both the
 * same cases; the lower half draws. Its numbers stand as JSON in the page. What a reader types is read as a number and put in as text. */
const LmGuide = (() => {
  "use strict";

  // --- the same in lmtutor/compare/guide.py --------------------------------------------------------------------------------------
  /** What stands at n labels: between two measured numbers along a line over the logarithm, above the last its own, below the first null. */
  function at(points, n) {
    if (n < points[0][0]) return null;
    const i = points.findIndex((point) => point[0] > n);
    if (i < 0) return points.at(-1).slice(1);
    const [low, ...first] = points[i - 1], [high, ...then] = points[i];
    const share = Math.log(n / low) / Math.log(high / low);
    return first.map((a, j) => a + share * (then[j] - a));
  }

  function difference(told, metric, one, other, n) {
    const gaps = told.gaps[metric], own = gaps[`${one}|${other}`];
    if (own) return at(own, n);
    const [estimate, low, high] = at(gaps[`${other}|${one}`], n);
    return [-estimate, -high, -low];
  }

  function paidLabels(table, given, way) {
    if (table.free.includes(way) && !given.declines) return 0;
    return way === "majority" ? Math.min(given.labels, table.shown) : given.labels;
  }

  function ownBill(given, labels, ms, seconds) {
    const rounds = 1 + given.changes * given.years, once = labels * given.label_price + (seconds / 3600) * given.machine;
    return rounds * once + ((given.queries * 365 * given.years * ms) / 3_600_000) * given.machine;
  }

  function hostedBill(table, told, given) {
    const shown = Math.min(given.labels, table.shown);
    const each = (told.tokens * (given.read + shown * given.cached) + table.answer * given.written) / 1e6;
    return (1 + given.changes * given.years) * shown * given.label_price + given.queries * 365 * given.years * each;
  }

  function decide(table, told, given) {
    const n = given.labels, metric = given.metric, rows = {};
    for (const way of Object.keys(table.ways).filter((one) => one in told.ways)) {
      const mine = told.ways[way], known = at(mine[metric], n), cost = at(mine.bill, n);
      const row = (rows[way] = { level: known, ms: null, bill: null, state: "labels" });
      if (!known) continue;
      row.ms = cost[0];
      row.bill = ownBill(given, paidLabels(table, given, way), ...cost);
      row.state = cost[0] > given.latency ? "slow" : "fits";
      if (given.declines && (way === "majority" || n < told.budgets[0])) row.state = "declines";
    }
    const fit = Object.keys(rows).filter((way) => rows[way].state === "fits");
    const result = { status: "none", top: null, pick: null, open: [], rows, hosted: given.private ? null : hostedBill(table, told, given) };
    if (!fit.length) return result;
    const top = fit.reduce((a, b) => (rows[b].level[0] > rows[a].level[0] ? b : a));
    for (const way of fit) {
      const [, low, high] = way === top ? [0, 0, 0] : difference(told, metric, top, way, n);
      rows[way].state = way === top ? "best" : high <= given.matters ? "good" : low > 0 ? "worse" : "open";
    }
    const saves = (one, other) => rows[other].bill - rows[one].bill >= Math.max(table.least, table.tenth * rows[other].bill);
    const good = fit.filter((way) => ["best", "good"].includes(rows[way].state));
    const cheapest = good.reduce((a, b) => (rows[b].bill < rows[a].bill ? b : a));
    const pick = good.find((way) => !saves(cheapest, way));
    const open = fit.filter((way) => rows[way].state === "open" && !saves(pick, way)
      && (saves(way, pick) || fit.indexOf(way) < fit.indexOf(pick)));
    return { ...result, status: open.length ? "undecided" : "take", top, pick, open };
  }

  function flips(table, told, given) {
    const answer = (changed) => {
      const { status, pick, open } = decide(table, told, changed);
      return [status, pick, open[0] ?? null];
    };
    const now = String(answer(given)), found = [];
    for (const [input, steps] of Object.entries(table.steps))
      for (const side of [steps.filter((value) => value > given[input]), steps.filter((value) => value < given[input]).reverse()])
        for (const value of side) {
          const then = answer({ ...given, [input]: value });
          if (String(then) === now) continue;
          found.push({ input, value, answer: then });
          break;
        }
    return found;
  }

  // --- the page ------------------------------------------------------------------------------------------------------------------
  /** An element: h("p.lm-note", { id: "x" }, "text", child, ...); text enters as text. */
  function h(name, attributes = {}, ...children) {
    const [tag, ...classes] = name.split("."), drawn = /^(svg|g|line|path|rect|text)$/.test(tag);
    const element = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    if (classes.length) element.setAttribute("class", classes.join(" "));
    for (const [key, value] of Object.entries(attributes)) if (value != null && value !== false) element.setAttribute(key, value === true ? "" : value);
    element.append(...children.filter((child) => child != null));
    return element;
  }

  const percent = (share) => `${Math.round(100 * share)}%`;
  const points = (share) => String(Math.round(100 * share) + 0).replace("-", "−");
  const plain = (number) => number.toLocaleString("en-US", { maximumFractionDigits: 2 });
  const dollars = (sum) => (sum > 0 && sum < 0.01 ? "under $0.01" : `$${sum.toLocaleString("en-US",
    sum < 100 ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : { maximumFractionDigits: 0 })}`);
  const within = ([estimate, low, high]) => `${percent(estimate)} (${points(low)} to ${points(high)})`;
  const list = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
  const first = (text) => text[0].toUpperCase() + text.slice(1), lower = (text) => text[0].toLowerCase() + text.slice(1);

  const SLIDERS = { // name, a value beside it, and in a sentence
    labels: ["Labels at hand", plain, (x) => `${plain(x)} labels`],
    label_price: ["Price of a label", (x) => `$${x.toFixed(2)}`, (x) => `$${x.toFixed(2)} a label`],
    queries: ["Queries a day", plain, (x) => (x === 1 ? "1 query a day" : `${plain(x)} queries a day`)],
    latency: ["Time for a text", (x) => `${plain(x)} ms`, (x) => `${plain(x)} ms a text`],
    changes: ["Task changes, a year", plain, (x) => (x === 1 ? "1 change of the task a year" : `${x} changes of the task a year`)],
    years: ["Needed for", (x) => (x === 1 ? "1 year" : `${x} years`), (x) => (x === 1 ? "1 year" : `${x} years`)],
    matters: ["A gap that matters", (x) => `${points(x)}\u00a0points`.replace(/^1\u00a0points/, "1\u00a0point"), (x) => (x === 0.01 ? "1 point" : `${points(x)} points`)],
  };
  const COUNTED = ["labels", "queries", "changes", "matters"];
  const PRICES = { machine: "Two cores, $ an hour", read: "Tokens read, $ a million", cached: "Tokens cached, $ a million",
    written: "Tokens written, $ a million" };
  const METRICS = { accuracy: "every text counts alike", balanced: "every label counts alike" };

  function start(place) {
    const table = JSON.parse(place.querySelector("script").textContent), given = { ...table.start };
    const name = (way) => table.ways[way][0], place_of = (way) => Object.keys(table.ways).indexOf(way);
    let told = table.sources[0], timer = 0;

    // what is set
    const choose = (id, label, groups, onchange) => {
      const select = h("select", { id }, ...groups);
      select.addEventListener("change", () => { onchange(select.value); show(); });
      return h("div.lm-set", {}, h("label", { for: id }, label), select);
    };
    const kinds = [...new Set(table.sources.map((one) => one.kind))];
    const task = choose("lm-task", "The task most like yours", kinds.map((kind) => h("optgroup", { label: kind }, ...table.sources
      .filter((one) => one.kind === kind).map((one) => h("option", { value: one.id }, `${first(one.what)} (${one.model})`)))),
    (value) => { told = table.sources.find((one) => one.id === value); });
    const metric = choose("lm-metric", "What is counted", Object.entries(METRICS).map(([value, text]) => h("option", { value }, text)),
      (value) => { given.metric = value; });
    const sliders = Object.entries(SLIDERS).map(([key, [label, short, text]]) => {
      const steps = table.steps[key], id = `lm-${key}`, out = h("output", { for: id });
      const input = h("input", { type: "range", id, min: 0, max: steps.length - 1, step: 1, value: steps.indexOf(given[key]) });
      const say = () => { out.textContent = short(given[key]); input.setAttribute("aria-valuetext", text(given[key])); };
      input.addEventListener("input", () => { given[key] = steps[+input.value]; say(); show(); });
      say();
      return h("div.lm-set", {}, h("label", { for: id }, label), out, input);
    });
    const switches = Object.entries({ private: "The texts must not leave this machine", declines: "It must be able to say “I don’t know”" })
      .map(([key, label]) => {
        const input = h("input", { type: "checkbox" });
        input.addEventListener("change", () => { given[key] = input.checked; show(); });
        return h("label.lm-set.lm-switch", {}, input, label);
      });
    const prices = h("details.lm-set", {}, h("summary", {}, "Prices of tokens and of a machine"), ...Object.entries(PRICES).map(([key, label]) => {
      const input = h("input", { type: "number", id: `lm-${key}`, min: 0, step: "any", value: given[key] });
      input.addEventListener("input", () => {
        const right = input.value !== "" && input.validity.valid && Number.isFinite(input.valueAsNumber);
        input.setAttribute("aria-invalid", String(!right)); // and the last good price stays
        if (right) { given[key] = input.valueAsNumber; show(); }
      });
      return h("div.lm-set", {}, h("label", { for: `lm-${key}` }, label), input);
    }), h("p.lm-small", {}, "Tokens: a small hosted model in September 2026. The machine: a guess, paid only while it works."));

    // what follows
    const head = h("div.lm-headline", { role: "status" }), why = h("div.lm-reason", { "aria-live": "polite", "aria-atomic": "true" });
    const turns = h("div.lm-more"), more = h("div.lm-more"), figure = h("figure.lm-curves"), body = h("tbody"), state = h("p.lm-state.lm-small");
    const caption = h("caption");
    const rows = h("div.lm-table", { tabindex: 0, role: "region", "aria-label": "Every way in this case" }, h("table", {}, caption,
      h("thead", {}, h("tr", {}, ...["way", "right", "behind the best", "bill", "ms a text"].map((title) => h("th", { scope: "col" }, title)))), body));
    place.append(h("div.lm-guide-sides", {}, head, h("form.lm-sets", { "aria-label": "Your case" }, task, ...sliders, ...switches, metric, prices),
      h("div.lm-results", {}, why, turns, figure, rows, more, state)));
    place.querySelector("form").addEventListener("submit", (event) => event.preventDefault());

    function headline({ status, pick, open }) {
      if (status === "none") return "Nothing that was measured here fits.";
      if (status === "take") return pick === "majority" ? "Do nothing: use the plain rule, or leave it to people." : `Take ${name(pick)}.`;
      return `Undecided between ${name(pick)} and ${name(open[0])}.`;
    }

    function because(result) {
      const { status, pick, open, rows: all, top } = result, n = given.labels, right = (way) => `${name(way)} ${within(all[way].level)}`;
      const most = told.budgets.at(-1);
      const where = `${told.model} on two cores, ${told.what}, ${n > most ? `${most} labels, the most that were tried` : `${n} labels`}. Right: `;
      if (status === "none") return given.declines && n < told.budgets[0]
        ? `To say “I don’t know” a way needs a threshold, and a threshold needs labelled texts: at least ${told.budgets[0]} here.`
        : "Allow more time for a text, or label some texts first.";
      if (status === "undecided") {
        const [estimate, low, high] = difference(told, given.metric, top, open[0], n);
        const others = open.slice(1, 4).map((way) => `${name(way)} (${percent(all[way].level[0])})`);
        return `${where}${right(pick)}, ${right(open[0])}. ${top === pick ? "The first" : `The best, ${right(top)},`} is ahead of ${name(open[0])} by ${points(estimate)} points (${points(low)} to ${points(high)}); whether `
          + `that is more than the ${SLIDERS.matters[2](given.matters)} that matter to you, the interval doesn’t tell.${others.length ? ` Also open: ${list(others)}.` : ""} `
          + `Begin with ${name(open[0])}, which is ${all[pick].bill - all[open[0]].bill >= table.least ? "cheaper" : "simpler"}. Then compare on texts of your own.`;
      }
      const beside = pick === top ? "" : ` Most right: ${right(top)}, ahead by less than the ${SLIDERS.matters[2](given.matters)} that matter to you.`;
      const rule = given.metric === "accuracy" && pick !== "majority" && all[pick].level[0] <= told.common
        ? ` But always naming the commonest label is right on ${percent(told.common)}.` : "";
      return `${where}${right(pick)}.${pick === "majority" ? " Nothing that reads the text is clearly better." : ""}${beside}${rule}`;
    }

    function changes() {
      const found = flips(table, told, given).slice(0, 6).map(({ input, value, answer: [status, pick, open] }) =>
        h("li", {}, `${SLIDERS[input][2](value)} or ${value > given[input] ? "more" : COUNTED.includes(input) ? "fewer" : "less"}: ${lower(headline({ status, pick, open: [open] }))}`));
      return found.length ? [h("p", {}, "What would change the answer:"), h("ul", {}, ...found)] : [h("p", {}, "No slider alone would change this answer.")];
    }

    function notes(result) {
      const n = given.labels, [least, most] = [told.budgets[0], told.budgets.at(-1)], years = SLIDERS.years[2](given.years);
      const limits = n > most ? `Measured with up to ${most} labels. Above, these are the values at ${most}: no more is known.`
        : n > 0 && n < least ? `What learns from labels was measured from ${least} labels on; with ${n} only what needs none is compared.`
          : !told.budgets.includes(n) && n ? "Between measured numbers of labels the curve is a line over the logarithm." : null;
      const hosted = result.hosted == null ? "Hosted models are out: their texts would leave."
        : `A hosted model: its bill over ${years} is ${dollars(result.hosted)}${result.pick ? `, that of ${name(result.pick)} ${dollars(result.rows[result.pick].bill)}` : ""}. `
          + "How often it is right was not measured here, so it has no curve. Measure it on your texts: ";
      return [limits && h("p", {}, limits),
        given.declines && result.pick ? h("p", {}, "Set the threshold for “I don’t know” on labelled texts that taught nothing. How well that works was not measured here.") : null,
        h("p", {}, hosted, result.hosted == null ? null : h("code", {}, "lmtutor compare DATA --text COLUMN --label COLUMN"), result.hosted == null ? null : "."),
        result.hosted != null && given.years >= 1 ? h("p", {}, `Within ${years} a hosted model may be withdrawn: keep the test texts, and test the next one. Weights on a disk of yours stay.`) : null];
    }

    /** Accuracy against labels: a line for each way, bars for 95% intervals, the rule of the number of labels that is set. */
    function curves(result) {
      const W = Math.min(560, Math.max(320, figure.clientWidth || 500)), H = 300, left = 38, right = 92, top = 10, bottom = 40, most = told.budgets.at(-1), least = told.budgets[0];
      const zero = left + 16, begin = left + 56, far = Math.max(most, given.labels);
      const x = (n) => (n <= 0 ? zero : n < least ? zero + ((begin - zero) * n) / least
        : begin + ((W - right - 8 - begin) * Math.log(n / least)) / Math.log(far / least));
      const y = (share) => top + (H - top - bottom) * (1 - share);
      const svg = h("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Right answers against labels, ${told.what}, ${told.model}. ${headline(result)} The values at ${given.labels} labels stand in the table below.` });
      const ends = [];
      for (const share of [0, 0.25, 0.5, 0.75, 1])
        svg.append(h("line.lm-grid", { x1: left, x2: W - right, y1: y(share), y2: y(share) }), h("text", { x: left - 5, y: y(share) + 4, "text-anchor": "end" }, percent(share)));
      for (const n of [0, ...told.budgets]) svg.append(h("text", { x: x(n), y: H - bottom + 16, "text-anchor": "middle" }, String(n)));
      svg.append(h("text", { x: (left + W) / 2, y: H - 6, "text-anchor": "middle" }, "labels (log scale)"));
      if (given.metric === "accuracy") svg.append(h("line.lm-common", { x1: left, x2: W - right, y1: y(told.common), y2: y(told.common) }));
      svg.append(h("line.lm-here", { x1: x(given.labels), x2: x(given.labels), y1: top, y2: H - bottom }));
      const strength = (way) => (way === result.pick ? "pick" : result.open.includes(way) || way === result.top ? "open" : "rest");
      const order = { rest: 0, open: 1, pick: 2 }, ways = Object.keys(result.rows).sort((a, b) => order[strength(a)] - order[strength(b)]);
      for (const way of ways) {
        const known = told.ways[way][given.metric], shift = (place_of(way) - 5) * 1.4;
        const g = h(`g.lm-way-line.lm-${strength(way)}`, { style: `--lm-line: var(--lm-k${place_of(way)})` });
        const where = table.free.includes(way) ? [[0, known[0]], [most, known[0]]] : known.map((point) => [point[0], point]);
        g.append(h("path", { d: where.map(([n, [, estimate]], i) => `${i ? "L" : "M"}${x(n).toFixed(1)} ${y(estimate).toFixed(1)}`).join(""),
          "stroke-dasharray": way.includes("calibrated") ? "7 3" : way === "encoder, label names" ? "2 3" : null }));
        for (const [n, , low, high] of known) g.append(h("line", { x1: x(n) + shift, x2: x(n) + shift, y1: y(low), y2: y(high) }));
        for (const [other, n, estimate] of told.beside) if (other === way) g.append(h("rect", { x: x(n) - 3, y: y(estimate) - 3, width: 6, height: 6 }));
        svg.append(g);
        ends.push([y(where.at(-1)[1][1]), way, where.at(-1)[0]]);
      }
      ends.sort((a, b) => a[0] - b[0]);
      let free = -Infinity; // names stand at the curves' ends, and none on another
      const places = ends.map(([height]) => (free = Math.max(height + 4, free + 14)));
      for (let i = ends.length - 1, most = H - bottom + 2; i >= 0; most = places[i--] - 14) places[i] = Math.min(places[i], most);
      ends.forEach(([, way, n], i) => svg.append(h(`text.lm-end${way === result.pick ? ".lm-end-pick" : ""}`, { x: Math.max(x(n), x(far)) + 12, y: places[i],
        style: `--lm-line: var(--lm-k${place_of(way)})` }, table.ways[way][1])));
      const bars = "Bars: 95% intervals. Thick: the answer. Dotted: always naming the commonest label.";
      return [svg, h("figcaption.lm-small", {}, `${told.model}, quantised, on two cores; ${told.what}: ${told.items} test texts, at most ${told.seeds} draws of labels. ${bars}`
        + (told.beside.length ? " Squares: chapter 09, on other texts. " : " "), h("a", { href: `../notebooks/${told.page}.html` }, `Chapter ${told.page.slice(0, 2)}`), ".")];
    }

    function lines(result) {
      const out = { labels: "needs more labels", slow: "too slow", declines: "can’t say “I don’t know”" };
      caption.textContent = `${given.labels} labels, ${SLIDERS.years[2](given.years)}; right: share of test texts, ${METRICS[given.metric]}`;
      return Object.entries(result.rows).map(([way, row]) => {
        const gap = result.top && way !== result.top && !(row.state in out) ? difference(told, given.metric, result.top, way, given.labels) : null;
        return h(`tr${way === result.pick ? ".lm-picked" : ""}`, {},
          h("th", { scope: "row" }, h("span.lm-key", { style: `--lm-line: var(--lm-k${place_of(way)})` }), first(name(way))),
          h("td", {}, row.level ? within(row.level) : "–"),
          h("td", {}, row.state in out ? out[row.state] : gap ? `${points(gap[0])} (${points(gap[1])} to ${points(gap[2])})` : "the best"),
          h("td", {}, row.bill == null ? "–" : dollars(row.bill)),
          h("td", {}, row.ms == null ? "–" : row.ms < 10 ? plain(Math.round(10 * row.ms) / 10) : plain(Math.round(row.ms))));
      });
    }

    function show() {
      const result = decide(table, told, given);
      more.replaceChildren(...notes(result).filter(Boolean));
      figure.replaceChildren(...curves(result));
      body.replaceChildren(...lines(result));
      state.textContent = `Your case: ${told.kind.toLowerCase()}; ${Object.entries(SLIDERS).map(([key, [, , text]]) => text(given[key])).join("; ")}; `
        + `texts ${given.private ? "must not leave" : "may leave"}; ${given.declines ? "" : "no "}“I don’t know”; ${METRICS[given.metric]}; `
        + `${Object.entries(PRICES).map(([key, label]) => `${label.toLowerCase()}: ${given[key]}`).join("; ")}.`;
      turns.replaceChildren(...changes());
      clearTimeout(timer); // a slider that is dragged is not read out at each step
      timer = setTimeout(() => {
        if (head.textContent !== headline(result)) head.textContent = headline(result);
        why.replaceChildren(h("p", {}, because(result)));
      }, head.textContent ? 250 : 0);
    }
    addEventListener("resize", () => figure.replaceChildren(...curves(decide(table, told, given))));
    show();
  }

  if (typeof document !== "undefined") document.querySelectorAll(".lm-guide").forEach(start);
  return { at, difference, ownBill, hostedBill, decide, flips };
})();
