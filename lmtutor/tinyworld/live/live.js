/* The Tiny World model, live in a page: move through its training, ask it, show it examples, see where its heads look, silence one.
 *
 * A page holds <div class="tinylive" data-stage="full"></div>. Words, questions and weights come as scripts that stand beside this one
 * (lmtutor/tinyworld/export.py writes them), since browsers refuse fetch() of local files. Nothing is loaded before the widget comes
 * near the window, and a checkpoint only when it is asked. What a reader writes enters the page as text and as nothing else. */
(() => {
  "use strict";
  const HERE = document.currentScript.src.replace(/[^/]*$/, "");
  const models = {}, scripts = {}; // by the name of their file
  let world = null, parts = null; // of a widget, see parts.js

  globalThis.TinyLive = {
    world(told) {
      world = { ...told, words: told.words.split(" ") };
      world.index = new Map(world.words.map((word, i) => [word, i]));
      parts = TinyParts(world, { load, KINDS, TASKS, h, heard, button, part, percent, million, best, word, called, pause, marked, refill });
    },
    weights(file, packed) {
      const run = Object.values(world.runs).find((one) => Object.values(one.files).includes(file));
      models[file] = new TinyModel(run.config, packed);
    },
  };

  const load = (file) => (scripts[file] ||= new Promise((done, failed) => {
    const script = h("script", { src: HERE + file, onload: done });
    script.async = false; // run in the order in which they were asked for: the words come before the weights
    script.onerror = () => { delete scripts[file]; failed(new Error(`${file} could not be loaded.`)); };
    document.head.append(script);
  }));

  // --- what can be asked, and what each stage shows ----------------------------------------------------------------------------
  const KINDS = {
    grammar: ["Grammar", "Which form of the verb? The noun beside it misleads, and its own noun never met this verb in training."],
    fact: ["Facts", "Something that the training text told again and again about one of 80 people."],
    question: ["Questions", "About somebody whose life was told in training, but of whom no question was ever asked there."],
    review: ["Reviews", "Would the writer watch it again, or want the money back? These adjectives never met in a review in training."],
    translation: ["Translation", "The next word in Zorvan, the world's second language. This noun and verb never met in training."],
    context: ["In context", "What the two made-up label words mean is said nowhere but in the prompt."],
    deduction: ["Deduction", "Two steps: A is inside B, and B is inside C. Compare with one word in five, a blind guess."],
  };
  const TASKS = {
    seen_labels: "two kinds of thing, labels known from training", new_labels: "two kinds of thing, new labels",
    new_pair: "two kinds that never met, new labels", new_class: "one kind never sorted in training",
    two_new_classes: "both kinds never sorted in training", number: "one or many", sentiment: "praise or blame",
  };
  const STAGES = { // parts from top to bottom, kinds of question, the one to begin with, and whether at the first checkpoint
    full: [["training", "runs", "kinds", "demonstrations", "prompt", "answer", "heads"], Object.keys(KINDS), "grammar"],
    training: [["training", "kinds"], ["grammar", "fact", "translation", "context"], null, true],
    attention: [["prompt", "answer", "heads"], ["context"], "context"],
    demonstrations: [["runs", "demonstrations", "prompt", "answer", "heads"], ["context"], "context"],
  };

  // --- small tools -------------------------------------------------------------------------------------------------------------
  /** An element: h("button.tl-button", { onclick: f }, "text", child, ...); the attributes may be left out. */
  function h(name, attributes, ...children) {
    const [tag, ...classes] = name.split("."), drawing = /^(svg|g|line|polyline|circle|text)$/.test(tag);
    const element = drawing ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    if (typeof attributes === "string" || attributes instanceof Node) [attributes, children] = [{}, [attributes, ...children]];
    if (classes.length) element.setAttribute("class", classes.join(" "));
    for (const [key, value] of Object.entries(attributes || {}))
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== false && value != null) element.setAttribute(key, value === true ? "" : value);
    element.append(...children.filter((child) => child != null));
    return element;
  }

  const heard = (text) => h("span.tl-heard", text); // by screen readers alone
  const button = (label, onclick, more) => h("button.tl-button", { type: "button", onclick, ...more }, label);
  const part = (title, ...children) => h("section.tl-part", title && h("h2.tl-title", title), ...children);
  const percent = (p) => `${(100 * p).toFixed(p > 0.0005 && p < 0.0995 ? 1 : 0)}%`;
  const million = (tokens) => (tokens ? (tokens / 1e6).toFixed(2) : "0");
  const best = (p, places = p.keys()) => [...places].reduce((a, b) => (p[b] > p[a] ? b : a));
  const word = (i) => (i ? world.words[i] : "‹end›"); // <eos> ends a text, and begins the next
  const called = (name) => `head ${name.split(".").map((i) => +i + 1).join(".")}`;
  const pause = (ms = 0) => new Promise((go) => setTimeout(go, ms));
  const marked = (i, answer) => h(`b.${i === answer ? "tl-right" : "tl-wrong"}`, `${word(i)} ${i === answer ? "✓" : "✗"}`,
    heard(i === answer ? " right" : " wrong"));

  /** Put new children into a list, and the focus back to where it was. */
  function refill(list, children) {
    const focused = [...list.children].findIndex((child) => child.contains(document.activeElement));
    list.replaceChildren(...children);
    if (focused >= 0) (list.children[focused]?.querySelector("button") || list.children[focused])?.focus();
  }

  // --- the widget: what it knows -----------------------------------------------------------------------------------------------
  class Widget {
    constructor(root, number) {
      const [names, kinds, kind, first] = STAGES[root.dataset.stage] || STAGES.full;
      Object.assign(this, { root, kinds, kind, id: `tinylive-${number}`, turn: 0 });
      Object.assign(this, { question: 0, task: "new_labels", shots: 8, swapped: false });
      this.notice = h("p.tl-trouble", { role: "alert" });
      this.choose("main");
      if (first) this.at = 0;
      this.parts = names.map((name) => parts[name](this)).filter(Boolean);
      root.replaceChildren(...this.parts.map((one) => one.element), this.notice);
      this.ask();
    }

    /** Another run, at its last checkpoint, with all its heads. */
    choose(run) {
      const { num_hidden_layers: layers, num_attention_heads: heads } = world.runs[run].config;
      Object.assign(this, { run, layers, heads, layer: layers - 1, head: heads - 1, silent: [] });
      this.at = this.stops().length - 1;
    }

    /** The updates after which there is a checkpoint. 0, the fresh weights, needs no file: their head is zero, all words are equal. */
    stops(run = this.run) { return [0, ...Object.keys(world.runs[run].files).map(Number)]; }
    get told() { return world.runs[this.run]; }
    get step() { return this.stops()[this.at]; }
    get file() { return this.told.files[this.step]; }
    get model() { return models[this.file]; }
    get limit() { return this.told.config.max_position_embeddings; }
    probe(kind) { return kind === "context" ? `icl8_${this.task}` : world.kinds[kind].probe; }
    accuracy(kind) { return this.told.curve[this.probe(kind)][this.told.step.indexOf(this.step)]; }
    free(kind) { return kind !== "context" && world.kinds[kind].free; } // scored by the first of all words, as in the book

    /** Probabilities of all words after `ids`, or of those at `places`. */
    predict(ids, places, silent = this.silent) {
      return TinyModel.softmax(this.model ? this.model.forward(ids, silent) : new Float32Array(world.words.length), places);
    }

    /** A question: { prompt, answer, choices }, all token ids; a few-shot one with its first `shots` demonstrations. */
    asked(kind, shots = this.shots) {
      const all = kind === "context" ? world.tasks[this.task] : world.kinds[kind].questions, question = all[this.question % all.length];
      if (kind !== "context") return question;
      const { items, sides, names } = question, labels = this.swapped ? [...question.labels].reverse() : question.labels;
      const prompt = items.slice(0, shots).flatMap((item, i) => [item, labels[sides[i]], world.index.get(";")]), last = items.length - 1;
      return { prompt: [...prompt, items[last]], answer: labels[sides[last]], choices: labels, names };
    }

    /** Take the question that is set as the prompt. */
    ask() { this.write(this.kind ? this.asked(this.kind).prompt.map(word).join(" ") + " " : ""); }

    write(text) {
      [this.text, this.from] = [text, null];
      return this.update();
    }

    add(i) { return this.write(`${this.text.trim()} ${word(i)} `.trimStart()); }

    /** The prompt as token ids from <eos> on, without a last word that is still being typed; and the words that do not exist. */
    read() {
      const words = this.text.replace(/([.;:?])/g, " $1 ").split(/\s+/).filter(Boolean), last = words[words.length - 1];
      if (words.length && !/[\s.;:?]$/.test(this.text) && !world.index.has(last)) words.pop();
      const unknown = words.filter((one) => !world.index.has(one));
      return { ids: [0, ...words.filter((one) => world.index.has(one)).map((one) => world.index.get(one))], unknown };
    }

    /** Answer anew: settings are shown at once, what needs the model when its checkpoint is there, the slow parts last. */
    async update() {
      const turn = ++this.turn, current = () => turn === this.turn;
      for (const one of this.parts) one.set?.();
      this.root.setAttribute("aria-busy", "true");
      await pause();
      try {
        if (current() && this.file) await load(this.file);
        if (!current()) return;
        this.notice.textContent = "";
        if (this.kind) this.answer();
        for (const one of [...this.parts].sort((a, b) => !!a.slow - !!b.slow)) if (current()) await one.draw?.(current);
      } catch (error) { this.notice.textContent = error.message; }
      if (current()) this.root.removeAttribute("aria-busy");
    }

    answer() {
      const { ids, unknown } = this.read(), question = this.asked(this.kind);
      this.trouble = unknown.length ? `Not a word of this world: ${unknown.join(", ")}.`
        : ids.length > this.limit ? `The model reads ${this.limit - 1} words at most; here are ${ids.length - 1}.` : "";
      if (this.trouble) return;
      const p = this.predict(ids), own = ids.slice(1).join() !== question.prompt.join();
      this.shown = { ids, p, question: own ? null : question, attention: this.model?.attention.map((layer) => layer.slice()) };
    }
  }

  // --- begin: when a widget comes near the window ------------------------------------------------------------------------------
  const found = new Set();
  const near = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach(async ({ target }) => {
    near.unobserve(target);
    try {
      await Promise.all([load("world.js"), load("weights-main.js")]);
      target.tinylive = new Widget(target, [...found].indexOf(target));
    } catch (error) { target.append(h("p.tl-trouble", { role: "alert" }, error.message)); }
  }), { rootMargin: "300px" });

  function begin() { // now with what stands before this script, and again when the rest of the page has been read
    for (const root of document.querySelectorAll(".tinylive"))
      if (!found.has(root)) near.observe(found.add(root) && root);
  }
  begin();
  document.addEventListener("DOMContentLoaded", begin);
})();
