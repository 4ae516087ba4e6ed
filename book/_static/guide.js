/* The decision guide: sliders, curves and what they say. The upper half is lmtutor/compare/guide.py once more, and a test gives both the
 * same cases; the lower half draws. Its numbers stand as JSON in the page. What a reader types is read as a number and put in as text. */
const LmGuide = (() => {
  "use strict";

  // --- the same in lmtutor/compare/guide.py --------------------------------------------------------------------------------------
  /** What stands at n labels: between two measured numbers along a line over the logarithm, above the last its own, below the first
   * null. */
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
    for (const [key, value] of Object.entries(attributes)) if (value != null) element.setAttribute(key, value);
    element.append(...children.filter((child) => child != null));
    return element;
  }

  const p = (...children) => h("p", {}, ...children);
  const percent = (share) => `${Math.round(100 * share)}%`;
  const points = (share) => String(Math.round(100 * share) + 0).replace("-", "−");
  const plain = (number) => number.toLocaleString("en-US", { maximumFractionDigits: 2 });
  const counted = (number, one, more = `${one}s`) => `${plain(number)} ${number === 1 ? one : more}`;
  const within = ([estimate, low, high]) => `${percent(estimate)} (${points(low)} to ${points(high)})`;
  const list = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
  const first = (text) => text[0].toUpperCase() + text.slice(1), lower = (text) => text[0].toLowerCase() + text.slice(1);
  function dollars(sum) {
    if (sum > 0 && sum < 0.01) return "under $0.01";
    const digits = sum < 100 ? 2 : 0;
    return `$${sum.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
  }

  const SLIDERS = { // name, a value beside it, and in a sentence
    labels: ["Labels at hand", plain, (x) => counted(x, "label")],
    label_price: ["Price of a label", (x) => `$${x.toFixed(2)}`, (x) => `$${x.toFixed(2)} a label`],
    queries: ["Queries a day", plain, (x) => counted(x, "query a day", "queries a day")],
    latency: ["Time for a text", (x) => `${plain(x)} ms`, (x) => `${plain(x)} ms a text`],
    changes: ["Task changes, a year", plain, (x) => counted(x, "change of the task a year", "changes of the task a year")],
    years: ["Needed for", (x) => counted(x, "year"), (x) => counted(x, "year")],
    matters: ["A gap that matters", (x) => counted(Math.round(100 * x), "point"), (x) => counted(Math.round(100 * x), "point")],
  };
  const FEWER = ["labels", "queries", "changes", "matters"]; // of the others less
  const PRICES = { machine: "Two cores, $ an hour", read: "Tokens read, $ a million", cached: "Tokens cached, $ a million",
    written: "Tokens written, $ a million" };
  const METRICS = { accuracy: "every text counts alike", balanced: "every label counts alike" };
  const SWITCHES = { private: "The texts must not leave this machine", declines: "It must be able to say “I don’t know”" };
  const OUT = { labels: "needs more labels", slow: "too slow", declines: "can’t say “I don’t know”" };
  const COMMAND = "lmtutor compare DATA --text COLUMN --label COLUMN";
  const COLUMNS = ["way", "right", "behind the best", "bill", "ms a text"];

  function start(place) {
    const table = JSON.parse(place.querySelector("script").textContent), given = { ...table.start };
    const name = (way) => table.ways[way][0], colour = (way) => `--lm-line: var(--lm-k${Object.keys(table.ways).indexOf(way)})`;
    const said = (key, value = given[key]) => SLIDERS[key][2](value);
    let told = table.sources[0], timer = 0;

    // what is set
    function choice(id, label, options, onchange) {
      const select = h("select", { id }, ...options);
      select.addEventListener("change", () => { onchange(select.value); show(); });
      return h("div.lm-set", {}, h("label", { for: id }, label), select);
    }

    function slider([key, [label, short]]) {
      const steps = table.steps[key], id = `lm-${key}`, out = h("output", { for: id });
      const input = h("input", { type: "range", id, min: 0, max: steps.length - 1, step: 1, value: steps.indexOf(given[key]) });
      const say = () => { out.textContent = short(given[key]); input.setAttribute("aria-valuetext", said(key)); };
      input.addEventListener("input", () => { given[key] = steps[+input.value]; say(); show(); });
      say();
      return h("div.lm-set", {}, h("label", { for: id }, label), out, input);
    }

    function tick([key, label]) {
      const input = h("input", { type: "checkbox" });
      input.addEventListener("change", () => { given[key] = input.checked; show(); });
      return h("label.lm-set.lm-switch", {}, input, label);
    }

    function price([key, label]) {
      const input = h("input", { type: "number", id: `lm-${key}`, min: 0, step: "any", value: given[key] });
      input.addEventListener("input", () => {
        const right = input.value !== "" && input.validity.valid && Number.isFinite(input.valueAsNumber);
        input.setAttribute("aria-invalid", String(!right)); // and the last good price stays
        if (right) { given[key] = input.valueAsNumber; show(); }
      });
      return h("div.lm-set", {}, h("label", { for: `lm-${key}` }, label), input);
    }

    const kinds = [...new Set(table.sources.map((one) => one.kind))];
    const tasks = kinds.map((kind) => h("optgroup", { label: kind }, ...table.sources.filter((one) => one.kind === kind)
      .map((one) => h("option", { value: one.id }, `${first(one.what)} (${one.model})`))));
    const metrics = Object.entries(METRICS).map(([value, text]) => h("option", { value }, text));
    const form = h("form.lm-sets", { "aria-label": "Your case" },
      choice("lm-task", "The task most like yours", tasks, (value) => { told = table.sources.find((one) => one.id === value); }),
      ...Object.entries(SLIDERS).map(slider), ...Object.entries(SWITCHES).map(tick),
      choice("lm-metric", "What is counted", metrics, (value) => { given.metric = value; }),
      h("details.lm-set", {}, h("summary", {}, "Prices of tokens and of a machine"), ...Object.entries(PRICES).map(price),
        h("p.lm-small", {}, "Tokens: a small hosted model in September 2026. The machine: a guess, paid only while it works.")));
    form.addEventListener("submit", (event) => event.preventDefault());

    // what follows
    const head = h("div.lm-headline", { role: "status" });
    const why = h("div.lm-reason", { "aria-live": "polite", "aria-atomic": "true" });
    const turns = h("div.lm-more"), more = h("div.lm-more"), figure = h("figure.lm-curves"), state = h("p.lm-state.lm-small");
    const caption = h("caption"), body = h("tbody");
    const rows = h("div.lm-table", { tabindex: 0, role: "region", "aria-label": "Every way in this case" }, h("table", {}, caption,
      h("thead", {}, h("tr", {}, ...COLUMNS.map((title) => h("th", { scope: "col" }, title)))), body));
    place.append(h("div.lm-guide-sides", {}, head, form, h("div.lm-results", {}, why, turns, figure, rows, more, state)));

    function headline({ status, pick, open }) {
      if (status === "none") return "Nothing that was measured here fits.";
      if (status === "undecided") return `Undecided between ${name(pick)} and ${name(open[0])}.`;
      return pick === "majority" ? "Do nothing: use the plain rule, or leave it to people." : `Take ${name(pick)}.`;
    }

    function because({ status, pick, open, rows: all, top }) {
      const n = given.labels, most = told.budgets.at(-1), right = (way) => `${name(way)} ${within(all[way].level)}`;
      if (status === "none") return given.declines && n < told.budgets[0]
        ? `To say “I don’t know” a way needs a threshold, and a threshold needs labelled texts: at least ${told.budgets[0]} here.`
        : "Allow more time for a text, or label some texts first.";
      const labels = n > most ? `${most} labels, the most that were tried` : said("labels");
      const where = `${told.model} on two cores, ${told.what}, ${labels}. Right: ${right(pick)}`;
      if (status === "undecided") {
        const other = open[0], [estimate, low, high] = difference(told, given.metric, top, other, n);
        const also = open.slice(1, 4).map((way) => `${name(way)} (${percent(all[way].level[0])})`);
        const better = all[pick].bill - all[other].bill >= table.least ? "cheaper" : "simpler";
        return [`${where}, ${right(other)}.`,
          `${top === pick ? "The first" : `The best, ${right(top)},`} is ahead of ${name(other)} by ${points(estimate)} points`,
          `(${points(low)} to ${points(high)}); whether that is more than the ${said("matters")} that matter to you,`,
          "the interval doesn’t tell.",
          ...(also.length ? [`Also open: ${list(also)}.`] : []),
          `Begin with ${name(other)}, which is ${better}. Then compare on texts of your own.`].join(" ");
      }
      const beside = pick === top ? [] : [`Most right: ${right(top)}, ahead by less than the ${said("matters")} that matter to you.`];
      const beaten = given.metric === "accuracy" && pick !== "majority" && all[pick].level[0] <= told.common;
      return [`${where}.`, ...(pick === "majority" ? ["Nothing that reads the text is clearly better."] : []), ...beside,
        ...(beaten ? [`But always naming the commonest label is right on ${percent(told.common)}.`] : [])].join(" ");
    }

    function changes() {
      const found = flips(table, told, given).slice(0, 6).map(({ input, value, answer: [status, pick, open] }) => {
        const way = value > given[input] ? "more" : FEWER.includes(input) ? "fewer" : "less";
        return h("li", {}, `${said(input, value)} or ${way}: ${lower(headline({ status, pick, open: [open] }))}`);
      });
      return found.length ? [p("What would change the answer:"), h("ul", {}, ...found)] : [p("No slider alone would change this answer.")];
    }

    function notes({ pick, rows: all, hosted }) {
      const n = given.labels, [least, most] = [told.budgets[0], told.budgets.at(-1)], written = [];
      if (n > most) written.push(p(`Measured with up to ${most} labels. Above, these are the values at ${most}: no more is known.`));
      else if (n > 0 && n < least)
        written.push(p(`What learns from labels was measured from ${least} labels on; with ${n}, only what needs none is compared.`));
      else if (n > 0 && !told.budgets.includes(n))
        written.push(p("Between measured numbers of labels the curve is a line over the logarithm."));
      if (given.declines && pick)
        written.push(p("Set the threshold for “I don’t know” on labelled texts that taught nothing. "
          + "How well that works was not measured here."));
      if (hosted == null) return [...written, p("Hosted models are out: their texts would leave.")];
      const beside = pick ? `, that of ${name(pick)} ${dollars(all[pick].bill)}` : "";
      written.push(p(`A hosted model: its bill over ${said("years")} is ${dollars(hosted)}${beside}. How often it is right was not measured `
        + "here, so it has no curve. Measure it on your texts: ", h("code", {}, COMMAND), "."));
      if (given.years >= 1) written.push(p(`Within ${said("years")} a hosted model may be withdrawn: keep the test texts, and test the `
        + "next one. Weights on a disk of yours stay."));
      return written;
    }

    /** Right answers against labels: a line for each way, bars for 95% intervals, the rule of the number of labels that is set. */
    function curves(result) {
      const W = Math.min(560, Math.max(320, figure.clientWidth || 500)), H = 300, left = 38, right = W - 92, top = 10, floor = H - 40;
      const least = told.budgets[0], most = told.budgets.at(-1), far = Math.max(most, given.labels), zero = left + 16, begin = left + 56;
      const x = (n) => (n < least ? zero + ((begin - zero) * n) / least
        : begin + ((right - 8 - begin) * Math.log(n / least)) / Math.log(far / least));
      const y = (share) => top + (floor - top) * (1 - share);
      const told_by = `Right answers against labels, ${told.what}, ${told.model}. ${headline(result)} The values with `
        + `${said("labels")} stand in the table below.`;
      const svg = h("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": told_by });
      const across = (kind, share) => svg.append(h(`line.${kind}`, { x1: left, x2: right, y1: y(share), y2: y(share) }));
      const text = (at_x, at_y, anchor, words) => svg.append(h("text", { x: at_x, y: at_y, "text-anchor": anchor }, words));
      for (const share of [0, 0.25, 0.5, 0.75, 1]) {
        across("lm-grid", share);
        text(left - 5, y(share) + 4, "end", percent(share));
      }
      for (const n of [0, ...told.budgets]) text(x(n), floor + 16, "middle", String(n));
      text((left + right) / 2, H - 6, "middle", "labels (log scale)");
      if (given.metric === "accuracy") across("lm-common", told.common);
      svg.append(h("line.lm-here", { x1: x(given.labels), x2: x(given.labels), y1: top, y2: floor }));

      const strength = (way) => (way === result.pick ? "pick" : result.open.includes(way) || way === result.top ? "open" : "rest");
      const order = ["rest", "open", "pick"], ends = [];
      for (const way of Object.keys(result.rows).sort((a, b) => order.indexOf(strength(a)) - order.indexOf(strength(b)))) {
        const known = told.ways[way][given.metric], shift = (Object.keys(table.ways).indexOf(way) - 5) * 1.4;
        const path = table.free.includes(way) ? [[0, known[0][1]], [most, known[0][1]]] : known;
        const d = path.map(([n, estimate], i) => `${i ? "L" : "M"}${x(n).toFixed(1)} ${y(estimate).toFixed(1)}`).join("");
        const dashes = way.includes("calibrated") ? "7 3" : way === "encoder, label names" ? "2 3" : null;
        svg.append(h(`g.lm-way-line.lm-${strength(way)}`, { style: colour(way) }, h("path", { d, "stroke-dasharray": dashes }),
          ...known.map(([n, , low, high]) => h("line", { x1: x(n) + shift, x2: x(n) + shift, y1: y(low), y2: y(high) })),
          ...told.beside.filter(([other]) => other === way)
            .map(([, n, estimate]) => h("rect", { x: x(n) - 3, y: y(estimate) - 3, width: 6, height: 6 }))));
        ends.push([y(path.at(-1)[1]), way]);
      }
      ends.sort((a, b) => a[0] - b[0]);
      let free = -Infinity; // names stand at the curves' ends, and none on another
      const heights = ends.map(([height]) => (free = Math.max(height + 4, free + 14)));
      for (let i = heights.length - 1, lowest = floor + 2; i >= 0; lowest = heights[i--] - 14) heights[i] = Math.min(heights[i], lowest);
      ends.forEach(([, way], i) => svg.append(h(`text.lm-end${way === result.pick ? ".lm-end-pick" : ""}`,
        { x: right + 4, y: heights[i], style: colour(way) }, table.ways[way][1])));

      const means = [
        `${told.model}, quantised, on two cores; ${told.what}: ${told.items} test texts, at most ${told.seeds} draws of labels.`,
        "Bars: 95% intervals. Thick: the answer. Dotted: always naming the commonest label.",
        ...(told.beside.length ? ["Squares: chapter 09, on other texts."] : [])].join(" ");
      const link = h("a", { href: `../notebooks/${told.page}.html` }, `Chapter ${told.page.slice(0, 2)}`);
      return [svg, h("figcaption.lm-small", {}, `${means} `, link, ".")];
    }

    function line([way, { state: how, level, bill, ms }], { top, pick }) {
      const gap = top && way !== top && !(how in OUT) ? difference(told, given.metric, top, way, given.labels) : null;
      const behind = how in OUT ? OUT[how] : gap ? `${points(gap[0])} (${points(gap[1])} to ${points(gap[2])})` : "the best";
      const time = ms == null ? "–" : plain(ms < 10 ? Math.round(10 * ms) / 10 : Math.round(ms));
      return h(`tr${way === pick ? ".lm-picked" : ""}`, {},
        h("th", { scope: "row" }, h("span.lm-key", { style: colour(way) }), first(name(way))),
        ...[level ? within(level) : "–", behind, bill == null ? "–" : dollars(bill), time].map((words) => h("td", {}, words)));
    }

    function set() {
      const prices = Object.entries(PRICES).map(([key, label]) => `${lower(label)}: ${given[key]}`);
      const switches = [given.private ? "texts must not leave" : "texts may leave", ...(given.declines ? ["must say “I don’t know”"] : [])];
      return `Your case: ${[lower(told.kind), ...Object.keys(SLIDERS).map((key) => said(key)), METRICS[given.metric], ...switches, ...prices]
        .join("; ")}.`;
    }

    function show() {
      const result = decide(table, told, given);
      turns.replaceChildren(...changes());
      figure.replaceChildren(...curves(result));
      const most = told.budgets.at(-1), beyond = given.labels > most ? ` with ${most} labels` : "";
      caption.textContent = `${said("labels")}, ${said("years")}; right: share of test texts${beyond}, ${METRICS[given.metric]}`;
      body.replaceChildren(...Object.entries(result.rows).map((row) => line(row, result)));
      more.replaceChildren(...notes(result));
      state.textContent = set();
      clearTimeout(timer); // a slider that is dragged is not read out at each step
      timer = setTimeout(() => {
        if (head.textContent !== headline(result)) head.textContent = headline(result);
        why.replaceChildren(p(because(result)));
      }, head.textContent ? 250 : 0);
    }

    addEventListener("resize", () => figure.replaceChildren(...curves(decide(table, told, given))));
    show();
  }

  if (typeof document !== "undefined") document.querySelectorAll(".lm-guide").forEach(start);
  return { at, difference, ownBill, hostedBill, decide, flips };
})();
