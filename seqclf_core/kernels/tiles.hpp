// Products of small bfloat16 matrices in AVX-512 registers, and the two nonlinearities of an LSTM.
//
// VDPBF16PS multiplies *pairs*: lane l of the result gains a[2k]*b[2k][l] + a[2k+1]*b[2k+1][l] in float32. So
// everything here counts the shared dimension in pairs, and a right-hand matrix is stored as *panels*:
//
//     panel = 16 columns = [pairs][16 columns][2 rows of the pair], one 64-byte load per pair
//
// A left-hand matrix is read as one 32-bit pair at a time, broadcast to all lanes. Each element of a product is one
// chain of additions in the order of the pairs, whatever the tile's height: a row's result has the same bits
// whichever rows are computed beside it. (Compile with -ffp-contract=off, or tiles of different height may round
// differently.)

#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE inline __attribute__((always_inline))

using bf16 = uint16_t;  // the upper half of a float32

constexpr int64_t LANES = 16;       // float32 values in a register
constexpr int64_t PANEL = 2 * LANES;  // bf16 values of one pair of rows in a panel

constexpr int64_t round_up(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

// ---- registers of 16 values, from and to either type ---------------------------------------------------------

// The lanes that remain from `at` on, at most 16.
INLINE __mmask16 lanes_from(int64_t at, int64_t count) {
  return count - at >= LANES ? __mmask16(0xffff) : __mmask16((1u << (count - at)) - 1);
}
INLINE __m512 load(const float* from, __mmask16 lanes) { return _mm512_maskz_loadu_ps(lanes, from); }
INLINE __m512 load(const bf16* from, __mmask16 lanes) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
INLINE void store(float* to, __mmask16 lanes, __m512 values) { _mm512_mask_storeu_ps(to, lanes, values); }
INLINE __m256i rounded(__m512 values) { return (__m256i)_mm512_cvtneps_pbh(values); }
INLINE void store(bf16* to, __mmask16 lanes, __m512 values) { _mm256_mask_storeu_epi16(to, lanes, rounded(values)); }
INLINE void store(bf16* to, __m512 values) { _mm256_storeu_si256((__m256i*)to, rounded(values)); }

// Copy a row, converting between types; the target is filled with zeros up to a multiple of 16.
template <class To, class From>
INLINE void copy_padded(To* to, const From* from, int64_t count) {
  for (int64_t at = 0; at < count; at += LANES) store(to + at, 0xffff, load(from + at, lanes_from(at, count)));
}
// The same into a row of exactly `count` values.
template <class To, class From>
INLINE void copy_exact(To* to, const From* from, int64_t count) {
  for (int64_t at = 0; at < count; at += LANES) {
    const __mmask16 lanes = lanes_from(at, count);
    store(to + at, lanes, load(from + at, lanes));
  }
}

// Ask for a row that is wanted soon: where neighbours in time lie far apart, the processor does not foresee it.
// A row beyond either end is harmless: nothing is read.
template <class T>
INLINE void prefetch(const T* row, int64_t count) {
  for (int64_t at = 0; at < count; at += 64 / sizeof(T)) _mm_prefetch(row + at, _MM_HINT_T0);
}

// ---- nonlinearities ------------------------------------------------------------------------------------------

// 1/x to about float32's precision: VRCP14PS and one step of Newton.
INLINE __m512 reciprocal(__m512 x) {
  const __m512 guess = _mm512_rcp14_ps(x);
  return _mm512_mul_ps(guess, _mm512_fnmadd_ps(x, guess, _mm512_set1_ps(2.0f)));
}

// The rational approximation that Eigen and XLA use: x * P(x^2) / Q(x^2), good to a few units of the last place.
INLINE __m512 tanh(__m512 x) {
  // min and max return their second operand where either is NaN: a NaN stays one.
  x = _mm512_min_ps(_mm512_set1_ps(7.9f), _mm512_max_ps(_mm512_set1_ps(-7.9f), x));
  const __m512 square = _mm512_mul_ps(x, x);
  const float above[] = {-2.76076847742355e-16f, 2.00018790482477e-13f, -8.60467152213735e-11f, 5.12229709037114e-08f,
                         1.48572235717979e-05f,  6.37261928875436e-04f, 4.89352455891786e-03f};
  const float below[] = {1.19825839466702e-06f, 1.18534705686654e-04f, 2.26843463243900e-03f, 4.89352518554385e-03f};
  __m512 p = _mm512_set1_ps(above[0]), q = _mm512_set1_ps(below[0]);
  UNROLL for (int i = 1; i < 7; i++) p = _mm512_fmadd_ps(p, square, _mm512_set1_ps(above[i]));
  UNROLL for (int i = 1; i < 4; i++) q = _mm512_fmadd_ps(q, square, _mm512_set1_ps(below[i]));
  return _mm512_mul_ps(_mm512_mul_ps(x, p), reciprocal(q));
}
INLINE __m512 sigmoid(__m512 x) {
  const __m512 half = _mm512_set1_ps(0.5f);
  return _mm512_fmadd_ps(half, tanh(_mm512_mul_ps(half, x)), half);
}

// ---- panels --------------------------------------------------------------------------------------------------

// Write two rows as pair number `pair` of panels that lie `panel_stride` apart. `columns` is a multiple of 16.
INLINE void write_pair(const bf16* even, const bf16* odd, int64_t columns, bf16* panels, int64_t panel_stride,
                       int64_t pair) {
  bf16* to = panels + pair * PANEL;
  for (int64_t at = 0; at < columns; at += LANES, to += panel_stride) {
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)(even + at)));
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)(odd + at)));
    _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }
}

// ---- tiles ---------------------------------------------------------------------------------------------------

// sum[row][col] += a[row] . b[panel col], over `pairs` pairs. Strides count bf16 values.
template <int ROWS, int COLS>
INLINE void multiply(__m512 (&sum)[ROWS][COLS], const bf16* a, int64_t a_row, int64_t a_pair, const bf16* b,
                     int64_t b_panel, int64_t pairs) {
  for (int64_t k = 0; k < pairs; k++, a += a_pair, b += PANEL) {
    __m512bh right[COLS];
    UNROLL for (int c = 0; c < COLS; c++) right[c] = (__m512bh)_mm512_loadu_si512(b + c * b_panel);
    UNROLL for (int r = 0; r < ROWS; r++) {
      int32_t pair;
      memcpy(&pair, a + r * a_row, sizeof pair);
      const __m512bh left = (__m512bh)_mm512_set1_epi32(pair);
      UNROLL for (int c = 0; c < COLS; c++) sum[r][c] = _mm512_dpbf16_ps(sum[r][c], left, right[c]);
    }
  }
}

// How many of the remaining rows the next tile takes: 6 fill the registers (6 x 4 sums, 4 columns, 1 broadcast),
// and the last two tiles share what is left, since a low tile costs nearly as much as a high one.
constexpr int TALL = 6;
INLINE int64_t next_rows(int64_t rest) {
  if (rest >= 2 * TALL || rest == TALL) return TALL;
  return rest > TALL ? (rest + 1) / 2 : rest;
}

template <int ROWS, int COLS>
void product_tile(const bf16* a, int64_t a_row, const bf16* b, int64_t b_panel, int64_t pairs, float* c,
                  int64_t c_row) {
  __m512 sum[ROWS][COLS];
  UNROLL for (int r = 0; r < ROWS; r++) UNROLL for (int p = 0; p < COLS; p++) sum[r][p] = _mm512_setzero_ps();
  multiply(sum, a, a_row, 2, b, b_panel, pairs);
  UNROLL for (int r = 0; r < ROWS; r++)
    UNROLL for (int p = 0; p < COLS; p++) _mm512_storeu_ps(c + r * c_row + p * LANES, sum[r][p]);
}

// c = a . b for `rows` rows, COLS panels.
template <int COLS>
void product_strip(const bf16* a, int64_t a_row, const bf16* b, int64_t b_panel, int64_t pairs, float* c,
                   int64_t c_row, int64_t rows) {
  for (int64_t done = 0, take; done < rows; done += take, a += take * a_row, c += take * c_row) {
    take = next_rows(rows - done);
    switch (take) {
      case 1: product_tile<1, COLS>(a, a_row, b, b_panel, pairs, c, c_row); break;
      case 2: product_tile<2, COLS>(a, a_row, b, b_panel, pairs, c, c_row); break;
      case 3: product_tile<3, COLS>(a, a_row, b, b_panel, pairs, c, c_row); break;
      case 4: product_tile<4, COLS>(a, a_row, b, b_panel, pairs, c, c_row); break;
      case 5: product_tile<5, COLS>(a, a_row, b, b_panel, pairs, c, c_row); break;
      default: product_tile<6, COLS>(a, a_row, b, b_panel, pairs, c, c_row);
    }
  }
}

// c = a . b: (rows, 2*pairs) row by row, times panels, into (rows, 16*panels) float32.
inline void product(const bf16* a, int64_t a_row, const bf16* b, int64_t pairs, float* c, int64_t c_row,
                    int64_t rows, int64_t panels) {
  const int64_t b_panel = pairs * PANEL;
  for (int64_t panel = 0, take; panel < panels; panel += take) {
    const int64_t rest = panels - panel;
    take = rest == 5 ? 3 : std::min<int64_t>(4, rest);  // 3 + 2 beats 4 + 1
    const bf16* b_from = b + panel * b_panel;
    float* to = c + panel * LANES;
    switch (take) {
      case 1: product_strip<1>(a, a_row, b_from, b_panel, pairs, to, c_row, rows); break;
      case 2: product_strip<2>(a, a_row, b_from, b_panel, pairs, to, c_row, rows); break;
      case 3: product_strip<3>(a, a_row, b_from, b_panel, pairs, to, c_row, rows); break;
      default: product_strip<4>(a, a_row, b_from, b_panel, pairs, to, c_row, rows);
    }
  }
}

// c += transpose(a) . b for COLS panels of b. Both sides are panels over the same pairs.
template <int COLS>
void outer_strip(const bf16* a, int64_t a_panels, const bf16* b, int64_t panel_stride, int64_t pairs, float* c,
                 int64_t c_row) {
  constexpr int ROWS = 8;  // half a panel of a: 8 x 3 sums
  for (int64_t half = 0; half < 2 * a_panels; half++) {
    float* to = c + half * ROWS * c_row;
    __m512 sum[ROWS][COLS];
    UNROLL for (int r = 0; r < ROWS; r++)
      UNROLL for (int p = 0; p < COLS; p++) sum[r][p] = _mm512_loadu_ps(to + r * c_row + p * LANES);
    multiply(sum, a + half / 2 * panel_stride + half % 2 * LANES, 2, PANEL, b, panel_stride, pairs);
    UNROLL for (int r = 0; r < ROWS; r++)
      UNROLL for (int p = 0; p < COLS; p++) _mm512_storeu_ps(to + r * c_row + p * LANES, sum[r][p]);
  }
}

// c += transpose(a) . b: panels over the same pairs, into (16*a_panels, 16*b_panels) float32.
inline void add_outer(const bf16* a, int64_t a_panels, const bf16* b, int64_t b_panels, int64_t panel_stride,
                      int64_t pairs, float* c) {
  const int64_t c_row = b_panels * LANES;
  for (int64_t panel = 0, take; panel < b_panels; panel += take) {
    const int64_t rest = b_panels - panel;
    take = rest == 4 ? 2 : std::min<int64_t>(3, rest);  // 2 + 2 beats 3 + 1
    const bf16* b_from = b + panel * panel_stride;
    float* to = c + panel * LANES;
    switch (take) {
      case 1: outer_strip<1>(a, a_panels, b_from, panel_stride, pairs, to, c_row); break;
      case 2: outer_strip<2>(a, a_panels, b_from, panel_stride, pairs, to, c_row); break;
      default: outer_strip<3>(a, a_panels, b_from, panel_stride, pairs, to, c_row);
    }
  }
}
