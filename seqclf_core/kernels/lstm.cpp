// One LSTM layer in one direction, over rows of different length, forward and backward.
//
//   (i, f, g, o) = W_hh h + W_ih x + b_ih + b_hh       sigmoid for i, f, o; tanh for g
//   c' = f c + i g        h' = o tanh(c')              h and c start at zero
//
// The rows of a batch are sorted by length, longest first, so that the rows which reach a step are a prefix of it.
// A step computes only those: padding is neither read nor computed, and written as zeros. h and the saved gates are
// bfloat16, c and every sum are float32. Rows never mix: a row's states have the same bits in any batch.
//
// Sizes: E inputs, H units. In here both are padded to multiples of 16 (Ep, Hp) with zero weights; a padded unit has
// h = c = 0 and no gradient. The row that a step multiplies is [h | x], so that its width in pairs, (Hp + E) / 2, is
// one contiguous run. Memory is written once and read once; what is used again stays within a megabyte.

#include <cstdlib>
#include <memory>
#include <new>
#include <numeric>
#include <vector>

#include "tiles.hpp"

// What both passes are given. lstm.py mirrors it field by field.
struct Batch {
  int64_t rows, steps, input_size, hidden_size;
  int64_t reverse;         // 1: each row is read from its own last position to its first
  int64_t is_bf16;         // inputs, states and their gradients are bfloat16 (1) or float32 (0)
  const void* inputs;      // (rows, steps, E)
  const int64_t* lengths;  // (rows)
  const float* weight_ih;  // (4H, E), gates in the order i, f, g, o
  const float* weight_hh;  // (4H, H)
  const float* bias_ih;    // (4H)
  const float* bias_hh;    // (4H)
  void* states;            // (rows, steps, H): written forward, read backward
  bf16* gates;             // (sum of lengths, Hp/16, 4, 16), kept for the backward pass; null: only states are wanted
  float* cells;            // (sum of lengths, Hp), the same
};

namespace {

// Aligned memory that is not initialised.
template <class T>
struct Buffer {
  explicit Buffer(int64_t count)
      : memory(static_cast<T*>(std::aligned_alloc(64, (count * sizeof(T) + 64) / 64 * 64)), std::free), size(count) {
    if (!memory) throw std::bad_alloc();
  }
  T* get() const { return memory.get(); }
  void zero() const { memset(get(), 0, size * sizeof(T)); }

  std::unique_ptr<T, decltype(&std::free)> memory;
  int64_t size;
};

// The padded sizes, and who takes part in which step.
struct Plan {
  explicit Plan(const Batch& batch)
      : E(batch.input_size), H(batch.hidden_size), Ep(round_up(E)), Hp(round_up(H)), batch(batch), order(batch.rows) {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return batch.lengths[a] > batch.lengths[b]; });
    const int64_t steps = batch.rows ? batch.lengths[order[0]] : 0;
    int64_t count = batch.rows;
    for (int64_t step = 0; step < steps; step++) {
      while (batch.lengths[order[count - 1]] <= step) count--;
      counts.push_back(count);
    }
  }

  int64_t steps() const { return counts.size(); }
  // Where in (rows, steps) the n-th longest row is at a step.
  int64_t position(int64_t n, int64_t step) const {
    const int64_t row = order[n];
    return row * batch.steps + (batch.reverse ? batch.lengths[row] - 1 - step : step);
  }
  int64_t width() const { return Hp + Ep; }  // of a row [h | x]

  int64_t E, H, Ep, Hp;
  const Batch& batch;
  std::vector<int64_t> order;   // rows, longest first
  std::vector<int64_t> counts;  // rows that reach each step
};

// The weights as one bfloat16 matrix, padded: (4*Hp, Hp + Ep), row gate*Hp + unit = [W_hh | W_ih].
Buffer<bf16> padded_weights(const Plan& plan) {
  Buffer<bf16> weights(4 * plan.Hp * plan.width());
  weights.zero();
  for (int64_t gate = 0; gate < 4; gate++)
    for (int64_t unit = 0; unit < plan.H; unit++) {
      bf16* to = weights.get() + (gate * plan.Hp + unit) * plan.width();
      const int64_t row = gate * plan.H + unit;
      copy_padded(to, plan.batch.weight_hh + row * plan.H, plan.H);
      copy_padded(to + plan.Hp, plan.batch.weight_ih + row * plan.E, plan.E);
    }
  return weights;
}

// For [h | x] . transpose(W): a panel is 16 units of a gate, a pair is two neighbours in the row. The four gates of
// 16 units lie side by side.
Buffer<bf16> forward_panels(const Plan& plan, int64_t pairs) {
  const Buffer<bf16> weights = padded_weights(plan);
  Buffer<bf16> panels(4 * plan.Hp * pairs * 2);
  uint32_t* to = reinterpret_cast<uint32_t*>(panels.get());
  for (int64_t unit = 0; unit < plan.Hp; unit += LANES)
    for (int64_t gate = 0; gate < 4; gate++) {
      const bf16* row = weights.get() + (gate * plan.Hp + unit) * plan.width();
      const uint32_t* from = reinterpret_cast<const uint32_t*>(row);
      for (int64_t k = 0; k < pairs; k++)
        for (int64_t lane = 0; lane < LANES; lane++) *to++ = from[lane * plan.width() / 2 + k];
    }
  return panels;
}

// For d_gates . W: a panel is 16 columns of W, a pair is two neighbouring rows.
Buffer<bf16> backward_panels(const Plan& plan) {
  const Buffer<bf16> weights = padded_weights(plan);
  Buffer<bf16> panels(4 * plan.Hp * plan.width());
  for (int64_t k = 0; k < 2 * plan.Hp; k++) {
    const bf16* even = weights.get() + 2 * k * plan.width();
    write_pair(even, even + plan.width(), plan.width(), panels.get(), 2 * plan.Hp * PANEL, k);
  }
  return panels;
}

// (Hp/16, 4, 16): b_ih + b_hh in the order in which a tile reads them.
Buffer<float> summed_bias(const Plan& plan) {
  Buffer<float> bias(4 * plan.Hp);
  bias.zero();
  for (int64_t gate = 0; gate < 4; gate++)
    for (int64_t unit = 0; unit < plan.H; unit++) {
      const int64_t row = gate * plan.H + unit;
      bias.get()[unit / LANES * 4 * LANES + gate * LANES + unit % LANES] =
          plan.batch.bias_ih[row] + plan.batch.bias_hh[row];
    }
  return bias;
}

// Positions that no row reaches are zero.
template <class T>
void zero_padding(const Batch& batch, T* target, int64_t features) {
  for (int64_t row = 0; row < batch.rows; row++) {
    T* from = target + (row * batch.steps + batch.lengths[row]) * features;
    memset(from, 0, (batch.steps - batch.lengths[row]) * features * sizeof(T));
  }
}

// ---- forward -------------------------------------------------------------------------------------------------

// 16 units of one row, from the sums of their gates (without bias) to their new state.
INLINE void new_state(const float* sums, const float* bias, const float* cell_before, float* cell, bf16* gates,
                      bf16* hidden) {
  __m512 gate[4];
  UNROLL for (int k = 0; k < 4; k++)
    gate[k] = _mm512_add_ps(_mm512_loadu_ps(sums + k * LANES), _mm512_loadu_ps(bias + k * LANES));
  const __m512 i = sigmoid(gate[0]), f = sigmoid(gate[1]), g = tanh(gate[2]), o = sigmoid(gate[3]);
  const __m512 c = _mm512_fmadd_ps(f, _mm512_loadu_ps(cell_before), _mm512_mul_ps(i, g));
  _mm512_storeu_ps(cell, c);
  store(hidden, _mm512_mul_ps(o, tanh(c)));
  if (gates) store(gates, i), store(gates + LANES, f), store(gates + 2 * LANES, g), store(gates + 3 * LANES, o);
}

template <class T>
void forward(const Batch& batch) {
  const Plan plan(batch);
  const int64_t Hp = plan.Hp, width = plan.width(), pairs = (Hp + plan.E + 1) / 2;
  const T* inputs = static_cast<const T*>(batch.inputs);
  T* states = static_cast<T*>(batch.states);
  const Buffer<bf16> panels = forward_panels(plan, pairs);
  const Buffer<float> bias = summed_bias(plan);
  const Buffer<float> start(batch.rows * Hp);  // cells before the first step; all cells where none are kept
  start.zero();
  Buffer<bf16> now(batch.rows * width), next(batch.rows * width);  // rows [h | x]
  now.zero();
  const Buffer<float> sums(batch.rows * 4 * LANES);
  const int64_t ahead = batch.reverse ? -1 : 1;

  int64_t first = 0;  // of this step's rows, among the kept ones
  for (int64_t step = 0; step < plan.steps(); step++) {
    const int64_t count = plan.counts[step];
    for (int64_t n = 0; n < count; n++) {
      const int64_t at = plan.position(n, step);
      copy_padded(now.get() + n * width + Hp, inputs + at * plan.E, plan.E);
      prefetch(inputs + (at + ahead) * plan.E, plan.E);
      prefetch(states + at * plan.H, plan.H);
    }
    float* cell = batch.gates ? batch.cells + first * Hp : start.get();
    const float* before = batch.gates && step ? batch.cells + (first - plan.counts[step - 1]) * Hp : start.get();
    bf16* gates = batch.gates ? batch.gates + first * 4 * Hp : nullptr;
    for (int64_t unit = 0; unit < Hp; unit += LANES) {
      product(now.get(), width, panels.get() + unit * 4 * pairs * 2, pairs, sums.get(), 4 * LANES, count, 4);
      for (int64_t n = 0; n < count; n++)
        new_state(sums.get() + n * 4 * LANES, bias.get() + 4 * unit, before + n * Hp + unit, cell + n * Hp + unit,
                  gates ? gates + n * 4 * Hp + 4 * unit : nullptr, next.get() + n * width + unit);
    }
    for (int64_t n = 0; n < count; n++)
      copy_exact(states + plan.position(n, step) * plan.H, next.get() + n * width, plan.H);
    std::swap(now, next);
    first += count;
  }
  zero_padding(batch, states, plan.H);
}

// ---- backward ------------------------------------------------------------------------------------------------

// Rows of gate gradients and of [h | x], collected over steps until they are worth a product.
class WeightGradient {
 public:
  explicit WeightGradient(const Plan& plan)
      : plan(plan), room(ROWS + plan.batch.rows + 1), d_gates(room * 4 * plan.Hp), rows(room * plan.width()),
        left((room + 1) / 2 * 8 * plan.Hp), right((room + 1) / 2 * 2 * plan.width()), sum(4 * plan.Hp * plan.width()) {
    sum.zero();
  }

  // Room for the rows of one step.
  bf16* next_d_gates() const { return d_gates.get() + used * 4 * plan.Hp; }
  bf16* next_rows() const { return rows.get() + used * plan.width(); }

  void add(int64_t count) {
    used += count;
    if (used >= ROWS) flush();
  }

  void flush() {
    const int64_t G = 4 * plan.Hp, width = plan.width(), pairs = (used + 1) / 2, stride = (room + 1) / 2 * PANEL;
    if (used % 2) {  // the last pair's second row
      memset(d_gates.get() + used * G, 0, G * sizeof(bf16));
      memset(rows.get() + used * width, 0, width * sizeof(bf16));
    }
    for (int64_t k = 0; k < pairs; k++) {
      write_pair(d_gates.get() + 2 * k * G, d_gates.get() + (2 * k + 1) * G, G, left.get(), stride, k);
      write_pair(rows.get() + 2 * k * width, rows.get() + (2 * k + 1) * width, width, right.get(), stride, k);
    }
    add_outer(left.get(), G / LANES, right.get(), width / LANES, stride, pairs, sum.get());
    used = 0;
  }

  // Into torch's layout, without the padding.
  void write(float* d_weight_ih, float* d_weight_hh) const {
    for (int64_t gate = 0; gate < 4; gate++)
      for (int64_t unit = 0; unit < plan.H; unit++) {
        const float* from = sum.get() + (gate * plan.Hp + unit) * plan.width();
        const int64_t row = gate * plan.H + unit;
        copy_exact(d_weight_hh + row * plan.H, from, plan.H);
        copy_exact(d_weight_ih + row * plan.E, from + plan.Hp, plan.E);
      }
  }

 private:
  static constexpr int64_t ROWS = 128;  // these and the sums share the second-level cache

  const Plan& plan;
  int64_t room, used = 0;
  Buffer<bf16> d_gates, rows;  // row by row
  Buffer<bf16> left, right;    // the same as panels
  Buffer<float> sum;           // (4*Hp, Hp + Ep)
};

// One row at one step: gradients of the four gates' sums from those of h and c. d_cell is updated in place.
template <class T>
INLINE void gate_gradients(const Plan& plan, const bf16* gates, const float* cell, const float* cell_before,
                           const T* d_state, const float* d_hidden, float* d_cell, bf16* d_gates, float* d_bias) {
  const __m512 one = _mm512_set1_ps(1.0f);
  for (int64_t unit = 0; unit < plan.Hp; unit += LANES, gates += 4 * LANES) {
    const __m512 i = load(gates, 0xffff), f = load(gates + LANES, 0xffff), g = load(gates + 2 * LANES, 0xffff),
                 o = load(gates + 3 * LANES, 0xffff);
    const __m512 squashed = tanh(_mm512_loadu_ps(cell + unit));
    const __m512 before = _mm512_loadu_ps(cell_before + unit);
    const __m512 d_h = _mm512_add_ps(_mm512_loadu_ps(d_hidden + unit), load(d_state + unit, lanes_from(unit, plan.H)));
    const __m512 d_h_o = _mm512_mul_ps(d_h, o);
    const __m512 d_c =
        _mm512_fmadd_ps(d_h_o, _mm512_fnmadd_ps(squashed, squashed, one), _mm512_loadu_ps(d_cell + unit));
    const __m512 d_c_i = _mm512_mul_ps(d_c, i), d_c_f = _mm512_mul_ps(d_c, f);
    _mm512_storeu_ps(d_cell + unit, d_c_f);
    const __m512 d_sums[4] = {
        _mm512_mul_ps(_mm512_mul_ps(d_c_i, g), _mm512_sub_ps(one, i)),           // sigmoid' = s (1 - s)
        _mm512_mul_ps(_mm512_mul_ps(d_c_f, before), _mm512_sub_ps(one, f)),
        _mm512_mul_ps(d_c_i, _mm512_fnmadd_ps(g, g, one)),                       // tanh' = 1 - t^2
        _mm512_mul_ps(_mm512_mul_ps(d_h_o, squashed), _mm512_sub_ps(one, o)),
    };
    UNROLL for (int gate = 0; gate < 4; gate++) {
      store(d_gates + gate * plan.Hp + unit, d_sums[gate]);
      float* bias = d_bias + gate * plan.Hp + unit;
      _mm512_storeu_ps(bias, _mm512_add_ps(_mm512_loadu_ps(bias), d_sums[gate]));
    }
  }
}

template <class T>
void backward(const Batch& batch, const T* d_states, T* d_inputs, float* d_weight_ih, float* d_weight_hh,
              float* d_bias) {
  const Plan plan(batch);
  const int64_t Hp = plan.Hp, width = plan.width(), G = 4 * Hp;
  const T* inputs = static_cast<const T*>(batch.inputs);
  const T* states = static_cast<const T*>(batch.states);
  const Buffer<bf16> panels = backward_panels(plan);
  Buffer<float> d_row(batch.rows * width), d_cell(batch.rows * Hp), start(Hp), bias_sum(G);
  d_row.zero(), d_cell.zero(), start.zero(), bias_sum.zero();
  WeightGradient weight_gradient(plan);
  const int64_t ahead = batch.reverse ? -1 : 1;

  int64_t first = std::accumulate(plan.counts.begin(), plan.counts.end(), int64_t(0));
  for (int64_t step = plan.steps() - 1; step >= 0; step--) {
    const int64_t count = plan.counts[step];
    first -= count;
    const int64_t first_before = step ? first - plan.counts[step - 1] : 0;
    bf16* d_gates = weight_gradient.next_d_gates();
    bf16* rows = weight_gradient.next_rows();
    for (int64_t n = 0; n < count; n++) {
      const int64_t at = plan.position(n, step);
      prefetch(d_states + (at - ahead) * plan.H, plan.H);
      prefetch(states + (at - 2 * ahead) * plan.H, plan.H);
      prefetch(inputs + (at - ahead) * plan.E, plan.E);
      gate_gradients(plan, batch.gates + (first + n) * G, batch.cells + (first + n) * Hp,
                     step ? batch.cells + (first_before + n) * Hp : start.get(), d_states + at * plan.H,
                     d_row.get() + n * width, d_cell.get() + n * Hp, d_gates + n * G, bias_sum.get());
      bf16* row = rows + n * width;
      if (step)
        copy_padded(row, states + plan.position(n, step - 1) * plan.H, plan.H);
      else
        memset(row, 0, Hp * sizeof(bf16));
      copy_padded(row + Hp, inputs + at * plan.E, plan.E);
    }
    // [d_h | d_x] of the rows; the former is what the step before adds to its own.
    product(d_gates, G, panels.get(), G / 2, d_row.get(), width, count, (d_inputs ? width : Hp) / LANES);
    if (d_inputs)
      for (int64_t n = 0; n < count; n++)
        copy_exact(d_inputs + plan.position(n, step) * plan.E, d_row.get() + n * width + Hp, plan.E);
    weight_gradient.add(count);
  }
  weight_gradient.flush();
  weight_gradient.write(d_weight_ih, d_weight_hh);
  for (int64_t gate = 0; gate < 4; gate++) copy_exact(d_bias + gate * plan.H, bias_sum.get() + gate * Hp, plan.H);
  if (d_inputs) zero_padding(batch, d_inputs, plan.E);
}

}  // namespace

// ---- what Python calls: 0, or 1 where memory is out ------------------------------------------------------------

extern "C" int seqclf_lstm_forward(const Batch* batch) {
  try {
    batch->is_bf16 ? forward<bf16>(*batch) : forward<float>(*batch);
  } catch (const std::bad_alloc&) {
    return 1;
  }
  return 0;
}

// d_inputs may be null where nobody wants it. d_bias (4H) is the gradient of either bias.
extern "C" int seqclf_lstm_backward(const Batch* batch, const void* d_states, void* d_inputs, float* d_weight_ih,
                                    float* d_weight_hh, float* d_bias) {
  try {
    if (batch->is_bf16)
      backward(*batch, static_cast<const bf16*>(d_states), static_cast<bf16*>(d_inputs), d_weight_ih, d_weight_hh,
               d_bias);
    else
      backward(*batch, static_cast<const float*>(d_states), static_cast<float*>(d_inputs), d_weight_ih, d_weight_hh,
               d_bias);
  } catch (const std::bad_alloc&) {
    return 1;
  }
  return 0;
}
