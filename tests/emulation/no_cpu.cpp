// In the place of the CPU engine, for which plans would lay their filters out
#include "core/engines.h"

namespace scatcuda::cpu {

template <class T>
int64_t laid_out_numbers(const Program&, const Bank<T>&) {
  return 0;
}
template <class T>
void lay_out(const Program&, const Bank<T>&, T*) {}
bool available() { return true; }
template int64_t laid_out_numbers<float>(const Program&, const Bank<float>&);
template int64_t laid_out_numbers<double>(const Program&, const Bank<double>&);
template void lay_out<float>(const Program&, const Bank<float>&, float*);
template void lay_out<double>(const Program&, const Bank<double>&, double*);

}  // namespace scatcuda::cpu
