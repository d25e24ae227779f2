// What every operator checks at its boundary. A failure names the operator, the argument, what was
// expected and what came; PyTorch raises it as a RuntimeError, the Python package checks before.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <string>
#include <vector>

namespace scatcuda {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline std::string shape_of(const Tensor& t) {
  std::string s = "(";
  for (int64_t i = 0; i < t.dim(); ++i) s += (i ? ", " : "") + std::to_string(t.size(i));
  return s + ")";
}

inline const char* name_of(ScalarType type) { return torch::headeronly::toString(type); }

inline void check_dtype(const char* op, const char* name, const Tensor& t, ScalarType wanted) {
  STD_TORCH_CHECK(t.scalar_type() == wanted, op, ": ", name, " must be ", name_of(wanted), "; got ",
                  name_of(t.scalar_type()));
}

// A contiguous tensor of `numel` elements on the device of x
inline void check_table(const char* op, const char* name, const Tensor& t, const Tensor& x,
                        ScalarType wanted, int64_t numel) {
  check_dtype(op, name, t, wanted);
  STD_TORCH_CHECK(t.is_cpu() == x.is_cpu() && t.get_device() == x.get_device(), op, ": ", name,
                  " must be on the device of x");
  STD_TORCH_CHECK(t.is_contiguous(), op, ": ", name, " must be contiguous");
  STD_TORCH_CHECK(numel < 0 || t.numel() == numel, op, ": ", name, " must have ", numel,
                  " elements for this problem; got shape ", shape_of(t));
}

// The product of the leading dimensions, all but the last `inner`
inline int64_t batch_of(const Tensor& t, int64_t inner) {
  int64_t B = 1;
  for (int64_t i = 0; i + inner < t.dim(); ++i) B *= t.size(i);
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

}  // namespace scatcuda
