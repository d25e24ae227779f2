// What the operators check at their boundary, whatever the device. A failure names the operator,
// the argument, what was expected and what came; PyTorch raises it as a RuntimeError, the Python
// package checks before.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../core/engines.h"

namespace scatcuda {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline std::string shape_text(const std::vector<int64_t>& sizes) {
  std::string s = "(";
  for (size_t i = 0; i < sizes.size(); ++i) s += (i ? ", " : "") + std::to_string(sizes[i]);
  return s + ")";
}

inline std::string shape_of(const Tensor& t) {
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < t.dim(); ++i) sizes.push_back(t.size(i));
  return shape_text(sizes);
}

inline const char* name_of(ScalarType type) { return torch::headeronly::toString(type); }

inline void check_dtype(const char* op, const char* name, const Tensor& t, ScalarType wanted) {
  STD_TORCH_CHECK(t.scalar_type() == wanted, op, ": ", name, " must be ", name_of(wanted), "; got ",
                  name_of(t.scalar_type()));
}

inline void check_device(const char* op, const char* name, const Tensor& t, const char* x_name,
                         const Tensor& x) {
  const bool same_kind = t.is_cpu() == x.is_cpu() && t.is_cuda() == x.is_cuda();
  STD_TORCH_CHECK(same_kind && t.get_device() == x.get_device(), op, ": ", name,
                  " must be on the device of ", x_name);
}

// A contiguous tensor of `numel` elements on the device of x
inline void check_table(const char* op, const char* name, const Tensor& t, const Tensor& x,
                        ScalarType wanted, int64_t numel) {
  check_dtype(op, name, t, wanted);
  check_device(op, name, t, "x", x);
  STD_TORCH_CHECK(t.is_contiguous(), op, ": ", name, " must be contiguous");
  STD_TORCH_CHECK(numel < 0 || t.numel() == numel, op, ": ", name, " must have ", numel,
                  " elements for this program; got shape ", shape_of(t));
}

// A tensor that goes with x: of these sizes, on its device
inline void check_like(const char* op, const char* name, const Tensor& t,
                       const std::vector<int64_t>& sizes, const Tensor& x, ScalarType wanted) {
  check_dtype(op, name, t, wanted);
  check_device(op, name, t, "the input", x);
  bool equal = t.dim() == static_cast<int64_t>(sizes.size());
  for (size_t i = 0; equal && i < sizes.size(); ++i) {
    equal = t.size(static_cast<int64_t>(i)) == sizes[i];
  }
  STD_TORCH_CHECK(equal, op, ": ", name, " must have shape ", shape_text(sizes), "; got ",
                  shape_of(t));
}

// The product of the leading dimensions, all but the last `inner`. PyTorch bounds the product of
// all dimensions, in which one may be 0.
inline int64_t batch_of(const char* op, const char* name, const Tensor& t, int64_t inner) {
  int64_t B = 1;
  bool fits = true;
  for (int64_t i = 0; i + inner < t.dim(); ++i) fits &= !__builtin_mul_overflow(B, t.size(i), &B);
  STD_TORCH_CHECK(fits, op, ": ", name, " must have a batch that can be counted; got shape ",
                  shape_of(t));
  return B;
}

// Leading dimensions of t, then the given ones
inline std::vector<int64_t> sizes_of(const Tensor& t, int64_t inner,
                                     std::initializer_list<int64_t> last) {
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i + inner < t.dim(); ++i) sizes.push_back(t.size(i));
  sizes.insert(sizes.end(), last);
  return sizes;
}

// What torch::stable::contiguous does, without looking an operator up by its name: that takes a
// microsecond, of the dozen that a small image does.
inline Tensor dense(const Tensor& t) {
  return t.is_contiguous() ? t : torch::stable::contiguous(t);
}

// The text of a `str` argument, whose handle is the kernel's to delete. PyTorch's conversion to
// std::string leaves a copy behind instead (pytorch issue 191340): 48 bytes with every call.
inline std::string take(StringHandle handle) {
  size_t length = 0;
  const char* data = nullptr;
  TORCH_ERROR_CODE_CHECK(torch_string_length(handle, &length));
  TORCH_ERROR_CODE_CHECK(torch_string_c_str(handle, &data));
  std::string text(data, length);
  TORCH_ERROR_CODE_CHECK(torch_delete_string(handle));
  return text;
}

template <class T>
constexpr ScalarType real_type = sizeof(T) == 4 ? ScalarType::Float : ScalarType::Double;

template <class T>
const T* data_of(const Tensor& t) {
  return static_cast<const T*>(t.const_data_ptr());
}
template <class T>
T* mutable_data_of(const Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

// Runs f(float()) or f(double()) for a real (or, as = complex, a complex) tensor
template <class F>
void with_real(const char* op, const char* name, const Tensor& t, bool complex, F&& f) {
  const ScalarType single = complex ? ScalarType::ComplexFloat : ScalarType::Float;
  const ScalarType wide = complex ? ScalarType::ComplexDouble : ScalarType::Double;
  if (t.scalar_type() == single) {
    f(float());
  } else if (t.scalar_type() == wide) {
    f(double());
  } else {
    STD_TORCH_CHECK(false, op, ": ", name, " must be ", name_of(single), " or ", name_of(wide),
                    "; got ", name_of(t.scalar_type()));
  }
}

// --- the arguments of each operator -------------------------------------------------------------

struct Scattering {
  const char* op;
  ProgramPointer program;
  int64_t B;
  std::vector<int64_t> sizes;  // of S
};

inline ProgramPointer check_program(const char* op, const std::string& text) {
  std::string why;
  ProgramPointer found = parse_program(text, &why);
  STD_TORCH_CHECK(found != nullptr, op, ": ", why);
  return found;
}

inline Scattering check_scattering(const char* op, const Tensor& x, const std::string& text) {
  const ProgramPointer found = check_program(op, text);
  const Program& p = *found;
  bool fits = x.dim() >= p.rank;
  std::vector<int64_t> signal;
  for (int i = 0; i < p.rank; ++i) {
    signal.push_back(p.axis[i].size);
    fits = fits && x.size(i - p.rank) == signal.back();
  }
  STD_TORCH_CHECK(fits, op, ": the last dimensions of x must be ", shape_text(signal),
                  " for this program; got shape ", shape_of(x));
  const int64_t B = batch_of(op, "x", x, p.rank);
  STD_TORCH_CHECK(B <= most_signals(p), op, ": a batch of x has at most ", most_signals(p),
                  " signals of this program; got shape ", shape_of(x));
  std::vector<int64_t> sizes = sizes_of(x, p.rank, {p.channels});
  sizes.insert(sizes.end(), p.side, p.side + p.sides);
  return {op, found, B, sizes};
}

template <class T>
Bank<T> check_bank(const Scattering& s, const Tensor& x, const Tensor& psi,
                   const Tensor& psi_support, const Tensor& phi, const Tensor& phi_support) {
  const Program& p = *s.program;
  check_table(s.op, "psi", psi, x, real_type<T>, -1);
  check_table(s.op, "psi_support", psi_support, x, ScalarType::Long, p.psi_support_numbers);
  check_table(s.op, "phi", phi, x, real_type<T>, p.phi_numbers);
  check_table(s.op, "phi_support", phi_support, x, ScalarType::Long, 2 * p.phi_rows);
  return {data_of<T>(psi), data_of<int64_t>(psi_support), data_of<T>(phi),
          data_of<int64_t>(phi_support)};
}

struct FilterFold {
  int64_t B, L, M, N;
  std::vector<int64_t> sizes;  // of the result
};

inline FilterFold check_filter_fold(const Tensor& x_hat, const Tensor& psi, int64_t k) {
  const char* op = "filter_fold";
  STD_TORCH_CHECK(x_hat.dim() >= 2 && psi.dim() == 3 && psi.size(1) == x_hat.size(-2) &&
                      psi.size(2) == x_hat.size(-1),
                  op, ": x_hat must be [..., M, N] and psi [L, M, N]; got shapes ", shape_of(x_hat),
                  " and ", shape_of(psi));
  check_device(op, "psi", psi, "x_hat", x_hat);
  const int64_t L = psi.size(0), M = psi.size(1), N = psi.size(2);
  STD_TORCH_CHECK(k >= 1 && k <= INT32_MAX && M % k == 0 && N % k == 0, op,
                  ": k must divide M = ", M, " and N = ", N, "; got ", k);
  return {batch_of(op, "x_hat", x_hat, 2), L, M, N, sizes_of(x_hat, 2, {L, M / k, N / k})};
}

struct Lowpass {
  int64_t B, M, N, m, n;
  std::vector<int64_t> sizes;  // of the result
};

inline Lowpass check_lowpass(const Tensor& u, const Tensor& a_m, const Tensor& a_n) {
  const char* op = "lowpass";
  STD_TORCH_CHECK(u.dim() >= 2 && a_m.dim() == 2 && a_n.dim() == 2 && a_m.size(1) == u.size(-2) &&
                      a_n.size(1) == u.size(-1),
                  op, ": u must be [..., M, N], a_m [m, M] and a_n [n, N]; got shapes ",
                  shape_of(u), ", ", shape_of(a_m), " and ", shape_of(a_n));
  check_device(op, "a_m", a_m, "u", u);
  check_device(op, "a_n", a_n, "u", u);
  const int64_t m = a_m.size(0), n = a_n.size(0);
  return {batch_of(op, "u", u, 2), u.size(-2), u.size(-1), m, n, sizes_of(u, 2, {m, n})};
}

}  // namespace scatcuda
