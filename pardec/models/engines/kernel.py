"""Products of few rows with a large matrix on a CPU, in C++, at the rate at which memory gives the matrix.

A step of one token, or a verification of a few, multiplies each weight by one number or a few: reading the weights is
what takes time. General products of matrices read them at a third of the rate of memory here, for few rows.
The matrix is stored in blocks of outputs, each input's weights of a block beside each other, so that it is read from
first to last byte once; a block's sums for all rows stay in registers (Goto and van de Geijn, "Anatomy of
High-Performance Matrix Multiplication", 2008). Sums are of float32, in the order of the inputs, whatever the number of
rows: a row's result does not depend on the rows beside it.
"""

from __future__ import annotations

import ctypes
import functools

from pardec.models.engines.toolchain import library

SOURCE = r"""
#include <cstdint>
#include <cstring>
#include <vector>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16, ROWS = 8;
#elif defined(__AVX__)
constexpr int LANES = 8, ROWS = 6;
#else
constexpr int LANES = 4, ROWS = 4;
#endif
constexpr int VECTORS = 2, BLOCK = VECTORS * LANES;  // outputs of a block; ROWS x VECTORS sums fit the registers

typedef float Floats __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES), aligned(2)));
typedef int8_t Bytes __attribute__((vector_size(LANES), aligned(1)));
struct bfloat16 { uint16_t bits; };

template <class To, class From> inline To bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

inline Floats load(const float* from) { return *(const Floats*)from; }
inline Floats load(const bfloat16* from) {
  return bits<Floats>(__builtin_convertvector(*(const Halves*)from, Words) << 16);
}
inline Floats load(const int8_t* from) {
#if defined(__AVX512F__)  // GCC 12 converts bytes of a vector one by one
  return (Floats)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)from)));
#elif defined(__AVX2__)
  return (Floats)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)from)));
#else
  return __builtin_convertvector(*(const Bytes*)from, Floats);
#endif
}

inline float number(float value) { return value; }
inline float number(bfloat16 value) { return bits<float>((uint32_t)value.bits << 16); }
inline void store(float* to, float value) { *to = value; }
inline void store(bfloat16* to, float value) {
  uint32_t word = bits<uint32_t>(value);
  uint32_t nearest = (word + 0x7fff + ((word >> 16) & 1)) >> 16;  // ties to even
  to->bits = value == value ? nearest : (word >> 16) | 64;
}

#define EACH(name, count) _Pragma("GCC unroll 16") for (int name = 0; name < count; name++)

// y[R][BLOCK] = x[inputs][R] times w[inputs][BLOCK]
template <int R, class W> void tile(const float* x, const W* w, float* y, long inputs) {
  Floats sums[R][VECTORS];
  EACH(row, R) EACH(part, VECTORS) sums[row][part] = Floats{};
  for (long k = 0; k < inputs; k++) {
    Floats weights[VECTORS];
    EACH(part, VECTORS) weights[part] = load(w + k * BLOCK + part * LANES);
    EACH(row, R) EACH(part, VECTORS) sums[row][part] += weights[part] * x[k * R + row];
  }
  EACH(row, R) EACH(part, VECTORS) *(Floats*)(y + row * BLOCK + part * LANES) = sums[row][part];
}

template <class W, int R = ROWS> void tile_of(int rows, const float* x, const W* w, float* y, long inputs) {
  if constexpr (R > 1) {
    if (rows < R) return tile_of<W, R - 1>(rows, x, w, y, inputs);
  }
  tile<R>(x, w, y, inputs);
}

// y[rows][outputs] = x[rows][inputs] times w[blocks][inputs][BLOCK], times scale[outputs] where there is one
template <class X, class W>
void product(const X* x, const W* w, const float* scale, X* y, long rows, long inputs, long outputs, int threads) {
  static thread_local std::vector<float> turned;  // groups of at most ROWS rows, each [inputs][rows of the group]
  turned.resize(rows * inputs);
  const float* groups = turned.data();
  for (long first = 0; first < rows; first += ROWS) {
    long count = rows - first < ROWS ? rows - first : ROWS;
    float* group = turned.data() + first * inputs;
    for (long row = 0; row < count; row++)
      for (long k = 0; k < inputs; k++) group[k * count + row] = number(x[(first + row) * inputs + k]);
  }
  long blocks = (outputs + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (long block = 0; block < blocks; block++) {
    long start = block * BLOCK, width = outputs - start < BLOCK ? outputs - start : BLOCK;
    float sums[ROWS * BLOCK], factors[BLOCK];
    for (long k = 0; k < BLOCK; k++) factors[k] = scale && k < width ? scale[start + k] : 1;
    for (long first = 0; first < rows; first += ROWS) {
      int count = rows - first < ROWS ? rows - first : ROWS;
      tile_of<W>(count, groups + first * inputs, w + start * inputs, sums, inputs);
      for (int row = 0; row < count; row++) {
        X* to = y + (first + row) * outputs + start;
        const float* from = sums + row * BLOCK;
        if (width == BLOCK)
          EACH(k, BLOCK) store(to + k, from[k] * factors[k]);
        else
          for (long k = 0; k < width; k++) store(to + k, from[k] * factors[k]);
      }
    }
  }
}

#define PRODUCT(name, X, W)                                                                                        \
  extern "C" void name(const X* x, const W* w, const float* scale, X* y, long rows, long inputs, long outputs,     \
                       int threads) {                                                                              \
    product(x, w, scale, y, rows, inputs, outputs, threads);                                                       \
  }
PRODUCT(float32_float32, float, float)
PRODUCT(float32_int8, float, int8_t)
PRODUCT(bfloat16_bfloat16, bfloat16, bfloat16)
PRODUCT(bfloat16_int8, bfloat16, int8_t)
extern "C" int block_size() { return BLOCK; }
"""


NAMES = ("float32_float32", "float32_int8", "bfloat16_bfloat16", "bfloat16_int8")
"""The products, by the formats of activations and weights."""


@functools.cache
def kernels() -> ctypes.CDLL:
    """Return the compiled products of `NAMES`, (x, w, scale, y, rows, inputs, outputs, threads), and `block_size`, the
    outputs of a block.

    Raises:
        NotImplementedError: no C++ compiler here, or it refuses the source.
    """
    made = library(SOURCE, "packed")
    for name in NAMES:
        function = getattr(made, name)
        function.argtypes, function.restype = (
            [ctypes.c_void_p] * 4 + [ctypes.c_long] * 3 + [ctypes.c_int],
            None,
        )
    return made
