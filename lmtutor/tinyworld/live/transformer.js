/* The book's transformer (lmtutor/models/transformer.py) in plain JavaScript: the same weights, the same arithmetic.
 *
 * It keeps what it has read. Tokens that a prompt shares with the prompt before it are not computed again: their keys, values and
 * attention stay. Keys and values are kept as they are before smearing and rotation, as in Python, so a prompt may be cut anywhere.
 * Matrices are Float32Arrays, row by row; sums are taken in double precision, as all of JavaScript's numbers are. */
globalThis.TinyModel = (() => {
  "use strict";

  // --- weights: numbers from -1 to 1, each written in 1 to 4 of 91 printable characters (lmtutor/tinyworld/export.py) ------------
  const LEVELS = 91, LEVEL = new Uint8Array(127);
  for (let code = 33, level = 0; code < 127; code++) if (!'"\\<'.includes(String.fromCharCode(code))) LEVEL[code] = level++;

  function numbers(text, digits) {
    const most = (LEVELS ** digits - 1) / 2, out = new Float32Array(text.length / digits);
    for (let i = 0, at = 0; i < out.length; i++) {
      let whole = 0;
      for (let d = 0; d < digits; d++) whole = whole * LEVELS + LEVEL[text.charCodeAt(at++)];
      out[i] = (whole - most) / most;
    }
    return out;
  }

  /** A tensor as Float32Array: `text` holds its numbers as shares of the largest of their row, `rows` those as shares of `top`. */
  function unpack({ shape, top, rows, text }) {
    const columns = shape[shape.length - 1], size = shape.reduce((a, b) => a * b), out = numbers(text, text.length / size);
    const scale = rows ? numbers(rows, 2) : [1];
    for (let i = 0; i < size; i++) out[i] *= top * scale[Math.floor(i / columns)];
    return out;
  }

  // --- arithmetic --------------------------------------------------------------------------------------------------------------
  const sigmoid = (z) => 1 / (1 + Math.exp(-z));

  /** y[t] = W x[t] for n positions, or y[t] += W x[t]. W is (rows, columns), x (n, columns), y (n, rows).
   *  Two positions meet two rows at a time, so that each number that is read serves twice; an odd last one is its own pair. */
  function linear(W, x, y, n, rows, columns, add = false) {
    for (let t = 0; t < n; t += 2) {
      const x0 = t * columns, x1 = t + 1 < n ? x0 + columns : x0, y0 = t * rows, y1 = t + 1 < n ? y0 + rows : y0;
      for (let r = 0; r < rows; r += 2) {
        const s = r + 1 < rows ? r + 1 : r, w0 = r * columns, w1 = s * columns;
        let a = 0, b = 0, c = 0, d = 0;
        if (add) [a, b, c, d] = [y[y0 + r], y[y0 + s], y[y1 + r], y[y1 + s]];
        for (let i = 0; i < columns; i++) {
          const v = W[w0 + i], w = W[w1 + i], p = x[x0 + i], q = x[x1 + i];
          a += v * p; b += w * p; c += v * q; d += w * q;
        }
        y[y0 + r] = a; y[y0 + s] = b; y[y1 + r] = c; y[y1 + s] = d;
      }
    }
  }

  /** y = x, each group of `size` numbers scaled to unit mean square, then by `gain` if there is one. */
  function rmsNorm(x, y, size, eps, gain) {
    for (let start = 0; start < y.length; start += size) {
      let squares = 0;
      for (let i = 0; i < size; i++) squares += x[start + i] ** 2;
      const scale = 1 / Math.sqrt(squares / size + eps);
      for (let i = 0; i < size; i++) y[start + i] = x[start + i] * scale * (gain ? gain[i] : 1);
    }
  }

  /** Probabilities from logits, over all of them or over those at `places`. */
  function softmax(logits, places = Array.from(logits.keys())) {
    const most = places.reduce((top, i) => Math.max(top, logits[i]), -Infinity), out = places.map((i) => Math.exp(logits[i] - most));
    const sum = out.reduce((a, b) => a + b, 0);
    return out.map((p) => p / sum);
  }

  class TinyModel {
    /** config: the fields of TinyConfig;  weights: {name: packed tensor}, under the names of the Python model */
    constructor(config, weights) {
      const c = (this.config = config), d = c.hidden_size, S = c.max_position_embeddings;
      this.weights = Object.fromEntries(Object.entries(weights).map(([name, packed]) => [name, unpack(packed)]));
      this.embedding = this.weights["model.embed_tokens.weight"];
      this.unembedding = this.weights["lm_head.weight"] || this.embedding;
      this.size = d / c.num_attention_heads; // of a head
      this.turn = this.angles(S);
      const make = (n) => Array.from({ length: c.num_hidden_layers }, () => new Float32Array(n));
      Object.assign(this, { rawKeys: make(S * d), rawValues: make(S * d), keys: make(S * d), values: make(S * d) });
      this.attention = make(c.num_attention_heads * S * S); // of each layer: [(head * S + from) * S + to]
      this.read = []; // the token ids that are kept
      this.silent = "";
    }

    /** Logits of the word after `ids`, as Float32Array(V).
     *  silent: heads that say nothing, each as "layer.head" counted from 0.  Throws RangeError on an empty or too long prompt. */
    forward(ids, silent = []) {
      const { config: c, weights: w } = this, d = c.hidden_size, S = c.max_position_embeddings, wide = c.intermediate_size;
      if (!ids.length || ids.length > S) throw new RangeError(`a prompt has 1 to ${S} tokens, this one has ${ids.length}`);
      const same = String(silent) === this.silent;
      let past = 0;
      while (same && !c.bidirectional && past < ids.length - 1 && ids[past] === this.read[past]) past++;
      const n = ids.length - past;
      [this.read, this.silent] = [[...ids], String(silent)];

      const x = new Float32Array(n * d), y = new Float32Array(n * d), gate = new Float32Array(n * wide), up = new Float32Array(n * wide);
      for (let t = 0; t < n; t++) x.set(this.embedding.subarray(ids[past + t] * d, (ids[past + t] + 1) * d), t * d);
      for (let layer = 0; layer < c.num_hidden_layers; layer++) {
        const at = (name) => w[`model.layers.${layer}.${name}`];
        rmsNorm(x, y, d, c.rms_norm_eps, at("input_layernorm.weight"));
        const mixed = this.attend(layer, at, y, past, n, silent);
        linear(at("self_attn.o_proj.weight"), mixed, x, n, d, d, true);
        rmsNorm(x, y, d, c.rms_norm_eps, at("post_attention_layernorm.weight"));
        linear(at("mlp.gate_proj.weight"), y, gate, n, wide, d);
        linear(at("mlp.up_proj.weight"), y, up, n, wide, d);
        for (let i = 0; i < gate.length; i++) gate[i] *= sigmoid(gate[i]) * up[i];
        linear(at("mlp.down_proj.weight"), gate, x, n, d, wide, true);
      }
      const last = new Float32Array(d), logits = new Float32Array(this.unembedding.length / d);
      rmsNorm(x.subarray((n - 1) * d), last, d, c.rms_norm_eps, w["model.norm.weight"]);
      linear(this.unembedding, last, logits, 1, logits.length, d);
      return logits;
    }

    /** What n new positions behind `past` kept ones gather from all that they see, (n, d); how much from where is kept in `attention`. */
    attend(layer, at, y, past, n, silent) {
      const { config: c, size } = this, d = c.hidden_size, S = c.max_position_embeddings;
      const [k, v, rawK, rawV] = [this.keys[layer], this.values[layer], this.rawKeys[layer], this.rawValues[layer]];
      const newK = rawK.subarray(past * d, (past + n) * d), newV = rawV.subarray(past * d, (past + n) * d);
      const q = new Float32Array(n * d), mixed = new Float32Array(n * d);
      linear(at("self_attn.q_proj.weight"), y, q, n, d, d);
      linear(at("self_attn.k_proj.weight"), y, newK, n, d, d);
      linear(at("self_attn.v_proj.weight"), y, newV, n, d, d);
      if (c.qk_norm) for (const z of [q, newK]) rmsNorm(z, z, size, c.rms_norm_eps);
      this.smear(rawK, k, c.smeared_keys && at("self_attn.smear_k"), past, n);
      this.smear(rawV, v, c.smeared_values && at("self_attn.smear_v"), past, n);
      this.rotate(q, past, n);
      this.rotate(k.subarray(past * d), past, n);
      const scale = (c.qk_norm ? c.qk_scale : 1) / Math.sqrt(size);
      for (let h = 0; h < c.num_attention_heads; h++)
        for (let t = 0; t < n; t++) {
          const seen = c.bidirectional ? past + n : past + t + 1, row = (h * S + past + t) * S, own = t * d + h * size;
          const share = this.attention[layer].subarray(row, row + seen);
          let most = -Infinity, sum = 0;
          for (let s = 0; s < seen; s++) {
            let dot = 0;
            for (let i = 0, j = s * d + h * size; i < size; i++) dot += q[own + i] * k[j + i];
            share[s] = dot * scale;
            most = Math.max(most, share[s]);
          }
          for (let s = 0; s < seen; s++) sum += share[s] = Math.exp(share[s] - most);
          for (let s = 0; s < seen; s++) share[s] /= sum;
          if (silent.includes(`${layer}.${h}`)) continue;
          for (let s = 0; s < seen; s++)
            for (let i = 0, j = s * d + h * size; i < size; i++) mixed[own + i] += share[s] * v[j + i];
        }
      return mixed;
    }

    /** Mix into each new position some of the one to its left, a learned share a head; nothing stands before the first. */
    smear(from, to, share, past, n) {
      const d = this.config.hidden_size;
      for (let j = past * d; j < (past + n) * d; j++) {
        const s = share ? sigmoid(share[Math.floor((j % d) / this.size)]) : 0;
        to[j] = from[j] * (1 - s) + (j < d ? 0 : from[j - d] * s);
      }
    }

    /** Cosine and sine of the angle of each pair at each of S positions. */
    angles(S) {
      const half = this.size / 2, cos = new Float32Array(S * half), sin = new Float32Array(S * half);
      for (let p = 0; p < S; p++)
        for (let i = 0; i < half; i++) {
          const angle = p * this.config.rope_theta ** (-i / half);
          [cos[p * half + i], sin[p * half + i]] = [Math.cos(angle), Math.sin(angle)];
        }
      return { cos, sin };
    }

    /** Rotary position, in place: each pair (i, i + half) of a head turns by an angle that grows with the position. */
    rotate(z, past, n) {
      const d = this.config.hidden_size, half = this.size / 2, { cos, sin } = this.turn;
      for (let t = 0; t < n; t++)
        for (let head = t * d; head < (t + 1) * d; head += this.size)
          for (let i = 0; i < half; i++) {
            const a = z[head + i], b = z[head + i + half], at = (past + t) * half + i;
            z[head + i] = a * cos[at] - b * sin[at];
            z[head + i + half] = b * cos[at] + a * sin[at];
          }
    }
  }

  return Object.assign(TinyModel, { softmax });
})();
