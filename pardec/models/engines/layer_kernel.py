"""A layer of the backbone over few tokens on a CPU as one function in C++, around the products of
`pardec.models.engines.kernel`.

Between the products of a step lie some thirty small operations. As operators of torch they take a quarter of the time
of a token, which only reading the weights should take. Sums between the products are of float32 in either format; keys,
values and the result are rounded to the model's format. A row's result does not depend on the rows beside it.
"""

from __future__ import annotations

import ctypes
import functools

from pardec.models.engines.kernel import SOURCE as PRODUCTS
from pardec.models.engines.toolchain import library

SOURCE = (
    PRODUCTS
    + r"""
#include <algorithm>
#include <cmath>

inline float total(Floats values) {
  float left[LANES];
  memcpy(left, &values, sizeof left);
  EACH(step, 4) for (int k = 0, count = LANES / 2 >> step; k < count; k++) left[k] += left[k + count];
  return left[0];
}

template <class X> inline float dot(const float* a, const X* b, long count) {
  Floats sums{};
  long k = 0;
  for (; k + LANES <= count; k += LANES) sums += load(a + k) * load(b + k);
  float sum = total(sums);
  for (; k < count; k++) sum += a[k] * number(b[k]);
  return sum;
}

// e to the power of x, in steps of ln 2 and a polynomial (Cephes); within the range of normal numbers
inline Floats exponential(Floats x) {
  const Floats least = Floats{} - 87.0f, most = Floats{} + 88.0f;
  x = x < least ? least : x;
  x = x > most ? most : x;
  Floats moved = x * 1.44269504f + 12582912.0f, power = moved - 12582912.0f;  // the nearest whole number
  x = x - power * 0.693359375f - power * -2.12194440e-4f;
  Floats sum = x * 1.9875691500e-4f + 1.3981999507e-3f;
  sum = sum * x + 8.3334519073e-3f;
  sum = sum * x + 4.1665795894e-2f;
  sum = sum * x + 1.6666665459e-1f;
  sum = sum * x + 5.0000001201e-1f;
  return (sum * x * x + x + 1.0f) * bits<Floats>((bits<Words>(moved) + 127) << 23);
}

// Runs `work(k, count)` over parts of LANES numbers, the last one shorter.
template <class Work> inline void in_parts(long count, Work work) {
  for (long k = 0; k < count; k += LANES) work(k, std::min<long>(LANES, count - k));
}

inline Floats part_of(const float* from, long count) {
  if (count == LANES) return load(from);
  float values[LANES] = {};
  memcpy(values, from, count * sizeof(float));
  return load(values);
}

inline void keep_part(float* to, Floats values, long count) { memcpy(to, &values, count * sizeof(float)); }

struct Layer {  // the pointers that are null: no bias, no norm of heads, no scales
  const void *input_norm, *post_norm, *qkv_bias, *query_norm, *key_norm, *qkv, *out, *gate_up, *down;
  const float *qkv_scale, *out_scale, *gate_up_scale, *down_scale;
  long hidden, heads, kv_heads, head_dim, mlp;
  double eps;
};

struct Pass {
  long rows, length, past, filled, size;  // rows [batch * length]; columns before it, with it, and of the cache
  long mask_batch, mask_token, tables;    // strides of the mask; rows of the rotary tables
  int causal, threads;
};

template <class X> void norm(const float* x, const X* weight, float* y, long width, double eps) {
  float scale = 1 / std::sqrt(dot(x, x, width) / width + (float)eps);
  for (long k = 0; k < width; k++) y[k] = x[k] * scale * number(weight[k]);
}

// out[LANES] = the products of a query with as many keys, each summed as `dot` does
template <class X> inline void dots(const float* query, const X* keys, long width, float* out) {
  Floats sums[LANES];
  EACH(k, LANES) sums[k] = Floats{};
  long c = 0;
  for (; c + LANES <= width; c += LANES) {
    Floats part = load(query + c);
    EACH(k, LANES) sums[k] += part * load(keys + k * width + c);
  }
#if defined(__GNUC__) && !defined(__clang__)
  EACH(step, 4) {  // halves of two vectors are added in one: after the last step lane k has the sum of key k
    constexpr int HALF = LANES / 2;
    int by = HALF >> step;
    Words order[2];
    EACH(k, LANES) order[0][k] = (k & by ? LANES : 0) + k, order[1][k] = (k & by ? LANES : 0) + (k ^ by);
    EACH(k, HALF) if (k < by)
      sums[k] = __builtin_shuffle(sums[k], sums[k + by], order[0]) + __builtin_shuffle(sums[k], sums[k + by], order[1]);
  }
  *(Floats*)out = sums[0];
#else
  EACH(k, LANES) out[k] = total(sums[k]);
#endif
  for (; c < width; c++) EACH(k, LANES) out[k] += query[c] * number(keys[k * width + c]);
}

// y[N * LANES] = the sum of N vectors of each value times its weight; a value of weight 0 counts as nothing
template <int N, class X> inline void mix(const float* weights, const X* values, long columns, long width, float* y) {
  Floats sums[N];
  EACH(part, N) sums[part] = Floats{};
  for (long k = 0; k < columns; k++)
    if (weights[k] != 0) EACH(part, N) sums[part] += load(values + k * width + part * LANES) * weights[k];
  EACH(part, N) *(Floats*)(y + part * LANES) = sums[part];
}

// Attention of one head of one token over the columns that it sees; y[head_dim]
template <class X>
void attend(const float* query, const X* keys, const X* values, const bool* seen, long columns, long width, float* y) {
  static thread_local std::vector<float> kept;
  kept.resize(columns + LANES);
  float* weights = kept.data();
  float most = -INFINITY, scale = 1 / std::sqrt((float)width);
  long k = 0, c = 0;
  for (; k + LANES <= columns; k += LANES) dots(query, keys + k * width, width, weights + k);
  for (; k < columns; k++) weights[k] = dot(query, keys + k * width, width);
  for (k = 0; k < columns; k++) {
    weights[k] = seen && !seen[k] ? -INFINITY : scale * weights[k];
    most = weights[k] > most || weights[k] != weights[k] ? weights[k] : most;
  }
  Floats sums{};
  in_parts(columns, [&](long first, long count) {
    Floats at = part_of(weights + first, count), part = exponential(at - most);
    keep_part(weights + first, at == -INFINITY ? Floats{} : part, count);
    sums += part_of(weights + first, count);
  });
  for (; c + 4 * LANES <= width; c += 4 * LANES) mix<4>(weights, values + c, columns, width, y + c);
  for (; c + LANES <= width; c += LANES) mix<1>(weights, values + c, columns, width, y + c);
  for (; c < width; c++)
    for (y[c] = k = 0; k < columns; k++) y[c] += weights[k] != 0 ? number(values[k * width + c]) * weights[k] : 0;
  float sum = total(sums);
  for (c = 0; c < width; c++) y[c] /= sum;
}

// y[rows][hidden] = the layer's result of x; writes keys and values of the tokens into the cache, in the columns
// [rows] if given, else from pass.past on; false and nothing done if one lies outside of the cache
template <class X, class W>
bool layer(const Layer& of, const Pass& pass, const X* x, X* y, const float* cos, const float* sin, X* keys, X* values,
           const int64_t* columns, const bool* mask) {
  long rows = pass.rows, hidden = of.hidden, width = of.head_dim, heads = of.heads, kv_heads = of.kv_heads;
  long turned = heads + kv_heads, fused = (turned + kv_heads) * width, half = width / 2, groups = heads / kv_heads;
  auto column = [&](long row) { return columns ? columns[row] : pass.past + row % pass.length; };
  for (long row = 0; row < rows; row++)
    if (column(row) < 0 || column(row) >= pass.size) return false;
  static thread_local std::vector<float> kept;
  kept.resize(rows * (2 * hidden + fused + heads * width + 2 * of.mlp));
  float *stream = kept.data(), *normed = stream + rows * hidden, *qkv = normed + rows * hidden;
  float *mixed = qkv + rows * fused, *gate_up = mixed + rows * heads * width;
  auto multiply = [&](const float* from, const void* w, const float* scale, float* to, long inputs, long outputs) {
    product<float, W>(from, (const W*)w, scale, to, rows, inputs, outputs, pass.threads);
  };

  for (long k = 0; k < rows * hidden; k++) stream[k] = number(x[k]);
  for (long row = 0; row < rows; row++)
    norm(stream + row * hidden, (const X*)of.input_norm, normed + row * hidden, hidden, of.eps);
  multiply(normed, of.qkv, of.qkv_scale, qkv, hidden, fused);
  for (long row = 0; row < rows; row++) {
    float *at = qkv + row * fused, head[width];
    if (of.qkv_bias)
      for (long k = 0; k < fused; k++) at[k] += number(((const X*)of.qkv_bias)[k]);
    for (long k = 0; k < turned; k++, at += width) {
      const X* weight = (const X*)(k < heads ? of.query_norm : of.key_norm);
      if (weight) norm(at, weight, at, width, of.eps);
      if (!cos) continue;
      const float *c = cos + row % pass.tables * width, *s = sin + row % pass.tables * width;
      memcpy(head, at, sizeof head);
      for (long j = 0; j < width; j++) at[j] = head[j] * c[j] + head[j < half ? j + half : j - half] * s[j];
    }
    at = qkv + row * fused + heads * width;
    for (long k = 0; k < kv_heads; k++) {
      long place = ((row / pass.length * kv_heads + k) * pass.size + column(row)) * width;
      for (long c = 0; c < width; c++) {
        store(keys + place + c, at[k * width + c]);
        store(values + place + c, at[(kv_heads + k) * width + c]);
      }
    }
  }
#pragma omp parallel for num_threads(pass.threads) if (pass.threads > 1) schedule(static)
  for (long each = 0; each < rows * heads; each++) {
    long row = each / heads, h = each % heads, batch = row / pass.length, token = row % pass.length;
    long place = (batch * kv_heads + h / groups) * pass.size * width;
    attend(qkv + row * fused + h * width, keys + place, values + place,
           mask ? mask + batch * pass.mask_batch + token * pass.mask_token : nullptr,
           pass.causal ? pass.past + token + 1 : pass.filled, width, mixed + each * width);
  }
  multiply(mixed, of.out, of.out_scale, normed, heads * width, hidden);
  for (long k = 0; k < rows * hidden; k++) stream[k] += normed[k];
  for (long row = 0; row < rows; row++)
    norm(stream + row * hidden, (const X*)of.post_norm, normed + row * hidden, hidden, of.eps);
  multiply(normed, of.gate_up, of.gate_up_scale, gate_up, hidden, 2 * of.mlp);
  for (long row = 0; row < rows; row++) {  // in place: no row's gate is behind what is written
    float *gate = gate_up + row * 2 * of.mlp, *to = gate_up + row * of.mlp;
    in_parts(of.mlp, [&](long k, long count) {
      Floats from = part_of(gate + k, count);
      keep_part(to + k, from / (1.0f + exponential(-from)) * part_of(gate + of.mlp + k, count), count);
    });
  }
  multiply(gate_up, of.down, of.down_scale, normed, of.mlp, hidden);
  for (long k = 0; k < rows * hidden; k++) store(y + k, stream[k] + normed[k]);
  return true;
}

#define LAYER(name, X, W)                                                                                          \
  extern "C" bool layer_##name(const Layer* of, const Pass* pass, const X* x, X* y, const float* cos,              \
                               const float* sin, X* keys, X* values, const int64_t* columns, const bool* mask) {   \
    return layer<X, W>(*of, *pass, x, y, cos, sin, keys, values, columns, mask);                                   \
  }
LAYER(float32_float32, float, float)
LAYER(float32_int8, float, int8_t)
LAYER(bfloat16_bfloat16, bfloat16, bfloat16)
LAYER(bfloat16_int8, bfloat16, int8_t)
"""
)


class LayerFacts(ctypes.Structure):
    """A layer: places of its norms, biases, packed matrices and their scales (null: none), and its sizes."""

    _fields_ = (
        [
            (name, ctypes.c_void_p)
            for name in ("input_norm", "post_norm", "qkv_bias", "query_norm", "key_norm")
        ]
        + [(name, ctypes.c_void_p) for name in ("qkv", "out", "gate_up", "down")]
        + [(f"{name}_scale", ctypes.c_void_p) for name in ("qkv", "out", "gate_up", "down")]
        + [(name, ctypes.c_long) for name in ("hidden", "heads", "kv_heads", "head_dim", "mlp")]
        + [("eps", ctypes.c_double)]
    )


class PassFacts(ctypes.Structure):
    """A pass: rows and tokens of a row; columns before it, with it, and of the cache; strides of the mask; rows of the
    rotary tables; whether each token attends up to itself; threads."""

    _fields_ = [
        (name, ctypes.c_long)
        for name in ("rows", "length", "past", "filled", "size", "mask_batch", "mask_token", "tables")
    ] + [("causal", ctypes.c_int), ("threads", ctypes.c_int)]


NAMES = ("float32_float32", "float32_int8", "bfloat16_bfloat16", "bfloat16_int8")
"""The layers, by the formats of activations and weights."""


@functools.cache
def layers() -> ctypes.CDLL:
    """Return the compiled layers of `NAMES` as `layer_NAME`, (facts, pass, x, y, cos, sin, keys, values, columns,
    mask) -> whether every column lies in the cache.

    Raises:
        NotImplementedError: no C++ compiler here, or it refuses the source.
    """
    made = library(SOURCE, "packed")
    for name in NAMES:
        function = getattr(made, f"layer_{name}")
        function.argtypes, function.restype = [ctypes.c_void_p] * 10, ctypes.c_bool
    return made
