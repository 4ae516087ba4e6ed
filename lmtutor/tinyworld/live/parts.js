/* The parts that a widget of the live model is made of; live.js has the widget, and hands over the world and its small tools.
 *
 * Each makes an element for the widget `w`; `set` shows the settings, `draw` what the model says. */
globalThis.TinyParts = (world, tools) => {
  "use strict";
  const { load, KINDS, TASKS, h, heard, button, part, percent, million, best, word, called, pause, marked, refill } = tools;
  return {
    /** A slider over training, and above it the share of right answers. */
    training(w) {
      const plot = h("div.tl-plot", { "aria-hidden": "true" }), when = h("span.tl-soft"), all = w.stops("main");
      const fetchAll = () => Object.values(world.runs.main.files).forEach((file) => load(file).catch(() => {}));
      const slider = h("input", { type: "range", id: `${w.id}-time`, max: all.length - 1, onfocus: fetchAll, onpointerdown: fetchAll,
        oninput: () => { stop(); w.at = +slider.value; w.update(); } });
      const play = button("", () => (playing ? stop() : film()), { class: "tl-button tl-play" });
      let playing = null;

      function stop(label = "play training from the start") {
        playing = null;
        play.setAttribute("aria-label", label);
      }
      async function film() {
        stop("pause");
        const mine = (playing = {});
        fetchAll();
        for (let i = 0; i < all.length && playing === mine; i++) {
          w.at = i;
          await Promise.all([w.update(), pause(1300)]);
        }
        if (playing === mine) stop();
      }

      /** Checkpoints stand at equal distances; what lies between two of them by its words, in logarithms. */
      function place(step) {
        const i = all.findIndex((other) => other >= step), before = all[i - 1] || 20;
        return i < 0 ? all.length - 1 : i && i - 1 + Math.max(0, Math.log(Math.max(step, 20) / before) / Math.log(all[i] / before));
      }

      function draw() {
        const wide = plot.clientWidth, high = 190, left = 46, right = 14, top = 10, bottom = 26, run = w.told, now = place(w.step);
        const x = (at) => left + ((wide - left - right) * at) / Math.max(1, all.length - 1);
        const y = (share) => top + (high - top - bottom) * (1 - share);
        const lines = [0, 0.5, 1].flatMap((share) => [
          h(`line.${share === 0.5 ? "tl-half" : "tl-grid"}`, { x1: left, x2: wide - right, y1: y(share), y2: y(share) }),
          h("text", { x: left - 7, y: y(share) + 4, "text-anchor": "end" }, percent(share))]);
        all.forEach((step, i) => { // on a phone every second number
          const read = million(run.tokens[run.step.indexOf(step)]).replace("0.", ".");
          if (wide > 420 || i % 2 || !i) lines.push(h("text", { x: x(i), y: high - 7, "text-anchor": "middle" }, read));
        });
        for (const kind of w.kinds) {
          const shares = run.curve[w.probe(kind)];
          const points = run.step.map((step, i) => ({ step, x: x(place(step)).toFixed(1), y: y(shares[i]).toFixed(1) }));
          const line = (name, some) => h(`polyline.${name}`, { points: some.map((one) => `${one.x},${one.y}`).join(" ") });
          const past = points.filter(({ step }) => step <= w.step), end = past[past.length - 1];
          const curve = h(`g.tl-${kind}`, line("tl-to-come", points)), chosen = !w.kind || kind === w.kind;
          if (chosen) curve.append(line("tl-past", past), h("circle", { cx: end.x, cy: end.y, r: 5 }));
          chosen ? lines.push(curve) : lines.unshift(curve);
        }
        lines.push(h("line.tl-now", { x1: x(now), x2: x(now), y1: top, y2: high - bottom }));
        plot.replaceChildren(h("svg", { width: wide, height: high }, ...lines));
      }

      new ResizeObserver(draw).observe(plot);
      stop();
      return {
        element: part(null, h("div.tl-line", play, h("label.tl-title", { for: slider.id }, "How far its training has come"), when), plot,
          h("div.tl-under", slider), h("p.tl-soft", "Up: share of right answers. Dashed: a coin flip. Across: million words read.")),
        set() {
          const read = million(w.told.tokens[w.told.step.indexOf(w.step)]);
          const said = w.step ? `${read} million words read` : "before the first word";
          when.textContent = said;
          slider.disabled = play.disabled = w.run !== "main"; // of its twins only the end is here
          slider.value = place(w.step);
          slider.setAttribute("aria-valuetext", said);
          draw();
        },
      };
    },

    /** Twins of the model, trained otherwise. */
    runs(w) {
      if (Object.keys(world.runs).length < 2) return null;
      const options = Object.entries(world.runs).map(([name, run]) => h("option", { value: name }, run.about));
      const choose = h("select", { id: `${w.id}-run`, onchange: () => { w.choose(choose.value); w.update(); } }, ...options);
      return { element: part(null, h("div.tl-line", h("label.tl-title", { for: choose.id }, "Which model"), choose)) };
    },

    /** A line for each kind of question: how much of it is right, one of them, and what the model says. */
    kinds(w) {
      const rows = w.kinds.map((kind) => {
        const share = h("span.tl-share", { id: `${w.id}-${kind}` }), says = h("span.tl-says"), [name] = KINDS[kind];
        const pick = w.kind && h("input", { type: "radio", name: `${w.id}-kind`, checked: kind === w.kind, "aria-label": name,
          "aria-describedby": share.id, onchange: () => { Object.assign(w, { kind, question: 0 }); w.ask(); } });
        const element = h(`${pick ? "label" : "div"}.tl-row.tl-${kind}`, {}, pick, h("span.tl-key"), h("b", name), share, says);
        return { kind, share, says, element };
      });
      const about = h("p.tl-soft", "The shares are those of the book's own test; each line shows one of its questions.");
      const more = w.kind ? null : button("Other questions", () => { w.question++; w.ask(); });
      const list = h("div.tl-rows", w.kind ? { role: "radiogroup", "aria-label": "What to ask" } : {}, ...rows.map((row) => row.element));
      return {
        slow: true,
        element: part(w.kind ? "What to ask" : "What it answers at this point", list, about, more),
        set() {
          for (const { kind, share } of rows) share.replaceChildren(`${Math.round(100 * w.accuracy(kind))}%`, heard(" right"));
          if (w.kind) about.textContent = KINDS[w.kind][1] + (w.silent.length ? " The shares are those with all heads on." : "");
        },
        async draw(current) {
          for (const { kind, says } of rows) {
            const { prompt, answer, choices } = w.asked(kind, 8), p = w.predict([0, ...prompt]), long = prompt.length > 11;
            says.replaceChildren(`${long ? "… " : ""}${prompt.slice(long ? -9 : 0).map(word).join(" ")} `,
              w.step ? marked(best(p, w.free(kind) ? undefined : choices), answer) : "(any word)");
            await pause();
            if (!current()) return;
          }
        },
      };
    },

    /** Demonstrations one by one, and how sure of the right label the model is with each number of them. */
    demonstrations(w) {
      const tasks = Object.keys(world.tasks).map((name) => h("option", { value: name, selected: name === w.task }, TASKS[name]));
      const task = h("select", { id: `${w.id}-task`, onchange: () => { w.task = task.value; w.ask(); } }, ...tasks);
      const swap = h("input", { type: "checkbox", onchange: () => { w.swapped = swap.checked; w.ask(); } });
      const most = world.tasks[w.task][0].items.length - 1, bars = h("div.tl-bars", { "aria-hidden": "true" }), said = h("p.tl-soft");
      const slider = h("input", { type: "range", id: `${w.id}-shots`, max: most, oninput: () => { w.shots = +slider.value; w.ask(); } });
      const name = h("label.tl-title", { for: task.id }, "Task"), swaps = h("label.tl-line", swap, "swap the two labels");
      const title = h("label.tl-title.tl-block", { for: slider.id }, "Demonstrations before the question");
      const element = part(null, h("div.tl-line", name, task, swaps), title, bars, h("div.tl-under-bars", slider), said);
      return {
        element,
        slow: true,
        set() {
          element.hidden = w.kind !== "context";
          slider.value = w.shots;
          slider.setAttribute("aria-valuetext", `${w.shots} demonstrations`);
        },
        async draw(current) {
          if (element.hidden) return;
          const sure = [];
          for (let k = 0; k <= most; k++) {
            const { prompt, answer, choices } = w.asked("context", k);
            sure.push(w.predict([0, ...prompt], choices)[choices.indexOf(answer)]);
            if (k % 4 === 3) await pause();
            if (!current()) return;
          }
          const { choices, names } = w.asked("context");
          bars.replaceChildren(...sure.map((share, k) => h("i", { class: k === w.shots && "tl-on", style: `height:${100 * share}%` })));
          said.textContent = `With ${w.shots} of them the right label gets ${percent(sure[w.shots])} of what the two labels get; dashed `
            + `is a coin flip. Here ${word(choices[0])} stands for ${names[0]} and ${word(choices[1])} for ${names[1]}.`;
        },
      };
    },

    /** The prompt, to be changed: words are completed, and the model can say on. */
    prompt(w) {
      const list = h("ul.tl-words", { id: `${w.id}-words`, role: "listbox", "aria-label": "words that fit", hidden: true });
      const text = h("textarea", { id: `${w.id}-prompt`, rows: 2, spellcheck: "false", autocapitalize: "off", autocomplete: "off",
        "aria-autocomplete": "list", "aria-controls": list.id, onkeydown: keyed, onblur: () => suggest(false),
        oninput: () => { suggest(true); w.write(text.value); } });
      const trouble = h("p.tl-trouble", { role: "status" });
      let options = [], chosen = -1;

      function suggest(open) {
        const begun = open ? text.value.slice(0, text.selectionStart).match(/[^\s.;:?]*$/)[0] : "";
        options = begun ? world.words.filter((one, i) => i && one.startsWith(begun) && one !== begun).slice(0, 8) : [];
        chosen = -1;
        list.replaceChildren(...options.map((one, i) => h("li", { role: "option", id: `${list.id}-${i}`, "aria-selected": "false",
          onpointerdown: (event) => { event.preventDefault(); accept(i); } }, one)));
        list.hidden = !options.length;
        text.removeAttribute("aria-activedescendant");
      }
      function accept(i) {
        const at = text.selectionStart, before = text.value.slice(0, at).replace(/[^\s.;:?]*$/, options[i] + " ");
        text.value = before + text.value.slice(at).trimStart();
        text.setSelectionRange(before.length, before.length);
        suggest(false);
        w.write(text.value);
      }
      function keyed(event) {
        const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (!options.length) return;
        if (move) {
          chosen = chosen < 0 && move < 0 ? options.length - 1 : (chosen + move + options.length) % options.length;
          [...list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === chosen)));
          text.setAttribute("aria-activedescendant", list.children[chosen].id);
        } else if (event.key === "Enter" && chosen >= 0) accept(chosen);
        else if (event.key === "Escape") suggest(false);
        else return;
        event.preventDefault();
      }
      async function say(most) {
        for (let i = 0, next; i < most && w.model && !w.trouble && w.shown.ids.length < w.limit; i++) {
          if (!(next = best(w.shown.p))) return; // the text is over
          await w.add(next);
          if (word(next) === ".") return;
        }
      }
      return {
        element: part(null, h("label.tl-title.tl-block", { for: text.id }, "The prompt: change it, or write your own"),
          h("div.tl-typing", text, list), trouble,
          h("div.tl-line", button("Another question", () => { w.question++; w.ask(); }), button("Say one word", () => say(1)),
            button("Say on to the full stop", () => say(20)), button("Empty", () => { w.write(""); text.focus(); }))),
        set() {
          if (text.value !== w.text) text.value = w.text;
          text.style.height = "auto";
          text.style.height = `${text.scrollHeight + 2}px`;
        },
        draw() { trouble.textContent = w.trouble; },
      };
    },

    /** What it says when any word may come, and when it has to choose among the words that fit. */
    answer(w) {
      const verdict = h("p.tl-verdict", { "aria-live": "polite" }), guess = h("p.tl-soft");
      const list = (which) => h("ol.tl-list", { "aria-label": `most probable of ${which}; press one to add it` });
      const any = list("all words"), some = list("those that fit");
      const free = h("div", h("h3.tl-title", `If any of its ${world.words.length} words may come`), any);
      const forced = h("div", h("h3.tl-title", "If it must choose among the words that fit"), some, guess);
      function bars(list, places, p, answer) {
        const order = [...places].sort((a, b) => p[b] - p[a]).slice(0, 5), sum = places.reduce((total, i) => total + p[i], 0);
        if (answer != null && !order.includes(answer)) order[4] = answer;
        refill(list, order.map((i) => {
          const right = i === answer, press = { type: "button", title: "add to the prompt", onclick: () => w.add(i) };
          const name = h("span.tl-word", word(i) + (right ? " ✓" : ""));
          const bar = h("span.tl-track", h("i", { style: `width:${(100 * p[i]) / sum}%` }));
          return h("li", h(`button.tl-bar${right ? ".tl-is-right" : ""}`, press, name, bar, h("span.tl-p", percent(p[i] / sum))));
        }));
      }
      return {
        element: part("What comes next?", verdict, h("div.tl-two", free, forced)),
        draw() {
          if (w.trouble) return verdict.replaceChildren(w.trouble);
          const { p, question } = w.shown, top = best(p), all = [...p.keys()];
          const without = w.silent.length ? ` Silenced: ${w.silent.map(called).join(", ")}.` : "";
          bars(any, all, p, question?.answer);
          forced.hidden = !question;
          if (!w.step) return verdict.replaceChildren("Before training every word is as probable as any other.");
          const yours = `. This prompt is yours: what is right, nobody has written down.${without}`;
          if (!question) return verdict.replaceChildren("It says ", h("b", word(top)), yours);
          const { answer, choices } = question;
          bars(some, choices, p, answer);
          guess.textContent = `A blind guess among these ${choices.length} is right in ${percent(1 / choices.length)}.`;
          const said = top === answer || w.free(w.kind) ? marked(top, answer) : h("b", word(top)); // another word may be right as well
          verdict.replaceChildren("Free, it says ", said, "; made to choose, ", marked(best(p, choices), answer), `.${without}`);
        },
      };
    },

    /** Where each head looks, what the right answer gets without it, and a switch for each. */
    heads(w) {
      const tiles = h("div.tl-heads"), reads = h("p.tl-soft", { "aria-live": "polite" });
      const chips = h("div.tl-chips", { role: "group", "aria-label": "words of the prompt, arrow keys move", onkeydown: walk });
      const restore = button("All heads on", () => silence([]));
      let built = "";

      function silence(names) { w.silent = names; w.update(); }
      function build() {
        const toggle = (name) => silence(w.silent.includes(name) ? w.silent.filter((one) => one !== name) : [...w.silent, name]);
        const names = Array.from({ length: w.layers * w.heads }, (_, i) => `${Math.floor(i / w.heads)}.${i % w.heads}`);
        tiles.style.setProperty("--tl-heads", w.heads);
        tiles.replaceChildren(...names.map((name) => {
          const [layer, head] = name.split(".").map(Number), look = () => { Object.assign(w, { layer, head }); drawWords(); };
          const checked = layer === w.layer && head === w.head, radio = { type: "radio", name: `${w.id}-head`, checked, onchange: look };
          const pick = h("input", { ...radio, "aria-label": called(name) });
          const square = h("label", pick, h("canvas", { "aria-hidden": "true" }), called(name).slice(5));
          return h("div.tl-head", { "data-head": name }, square, button("off", () => toggle(name)));
        }));
        built = w.run;
      }
      function drawTiles() {
        const { ids: { length: n }, attention } = w.shown, colour = getComputedStyle(w.root).getPropertyValue("--tl-main").trim();
        for (const tile of tiles.children) {
          const [layer, head] = tile.dataset.head.split("."), canvas = tile.querySelector("canvas"), pen = canvas.getContext("2d");
          label(tile);
          canvas.width = canvas.height = n;
          pen.fillStyle = colour;
          for (let a = 0; attention && a < n; a++)
            for (let b = 0; b <= a; b++) {
              pen.globalAlpha = Math.sqrt(Math.min(1, attention[layer][(head * w.limit + a) * w.limit + b]));
              pen.fillRect(b, a, 1, 1);
            }
        }
        restore.hidden = !w.silent.length;
      }
      /** A tile's switch; `left` is what the right answer gets of what all answers that fit get, without this head. */
      function label(tile, left) {
        const name = tile.dataset.head, off = w.silent.includes(name), press = tile.querySelector("button");
        press.textContent = off ? "is off" : left == null ? "off" : `off: ${Math.round(100 * left)}%`;
        const would = off || left == null ? "" : " would be left for the right answer";
        press.setAttribute("aria-label", `silence ${called(name)}, ${press.textContent}${would}`);
        press.setAttribute("aria-pressed", String(off));
        tile.classList.toggle("tl-off", off);
      }
      function drawWords() {
        const { ids, attention } = w.shown, from = w.from ?? ids.length - 1, start = (w.head * w.limit + from) * w.limit;
        const row = attention?.[w.layer].subarray(start, start + from + 1), name = (i) => (i ? word(ids[i]) : "‹start›");
        refill(chips, ids.map((_, i) => {
          const on = i === from, press = { type: "button", tabindex: on ? 0 : -1, "aria-pressed": String(on) };
          const bar = h("i", { style: `height:${100 * Math.sqrt(row?.[i] || 0)}%` });
          const share = row && i <= from ? heard(` ${percent(row[i])}`) : null;
          const choose = { onclick: () => { w.from = i; drawWords(); } };
          return h(`button.tl-chip${i > from ? ".tl-later" : ""}`, { ...press, ...choose }, bar, h("span", name(i)), share);
        }));
        const shares = new Map(); // by word: one that stands there three times is named once
        row?.forEach((share, i) => shares.set(name(i), (shares.get(name(i)) || 0) + share));
        const most = [...shares].sort((a, b) => b[1] - a[1]).slice(0, 3).filter(([, share]) => share > 0.02);
        const read = most.map(([one, share]) => `“${one}” ${percent(share)}`).join(", "), head = called(`${w.layer}.${w.head}`);
        reads.textContent = row ? `At “${name(from)}” ${head} reads ${read}.` : "Before training there is nothing to see.";
      }
      function walk(event) {
        const n = w.shown.ids.length, from = w.from ?? n - 1;
        const to = { ArrowRight: from + 1, ArrowLeft: from - 1, Home: 0, End: n - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        w.from = Math.min(n - 1, Math.max(0, to));
        drawWords();
        chips.children[w.from].focus();
      }
      new MutationObserver(() => w.shown && drawTiles()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
      return {
        slow: true,
        element: part("Where each head looks", h("p.tl-soft", "A head reads earlier words: a row of its square is a word of the prompt, "
          + "colour marks the words that it reads. 2.3 is the third head of the second layer. Press off to silence one; the percentage is "
          + "what the right answer would get without it."),
        h("div.tl-looks", h("fieldset", h("legend.tl-heard", "heads"), tiles), h("div", chips, reads, restore))),
        async draw(current) {
          if (w.trouble) return;
          if (built !== w.run) build();
          drawTiles();
          drawWords();
          const { ids, question } = w.shown;
          for (const tile of w.step && question ? tiles.children : []) {
            label(tile, w.predict(ids, question.choices, [...w.silent, tile.dataset.head])[question.choices.indexOf(question.answer)]);
            await pause();
            if (!current()) return;
          }
        },
      };
    },
  };
};
