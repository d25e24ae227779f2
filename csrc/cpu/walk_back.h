// The cascade of Bruna and Mallat (walk.h) backwards: the gradient of <g, S x> for the signal and
// for the filters. The walk once more, then back through it, from the last step to the first; each
// pass' adjoint stands beside it (passes/). Nothing of the forward pass is kept; one family of
// paths is in the cache at a time. The twin is reference.scattering_backward.
#pragma once

#include "walk.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// Where the gradients of a signal go. That of the low-pass is a sum over the rows of planes, of
// which there are `pieces`, as many whatever the number of threads; `rest` has the sums of all but
// the first.
template <class T>
struct Sums : Gradients<T> {
  int64_t pieces = 1, numbers = 0;
  T* rest = nullptr;

  bool of_filters() const { return this->psi != nullptr || this->phi != nullptr; }
  T* piece(int64_t k) const { return k == 0 ? this->phi : rest + (k - 1) * numbers; }
  void clear() const {
    for (int64_t i = 0; i < (pieces - 1) * numbers; ++i) rest[i] = 0;
  }
  void add() const {
    for (int64_t k = 1; k < pieces; ++k) {
      for (int64_t i = 0; i < numbers; ++i) this->phi[i] += piece(k)[i];
    }
  }
};

template <class T>
class WalkBack : private Walk<T> {
  using Base = Walk<T>;
  using Base::bank_, Base::p_, Base::lines_, Base::layouts_, Base::lowpasses_;
  using Base::box, Base::family_of, Base::lines_of, Base::lowpass_of, Base::u_hat_of;

 public:
  using Own = ThreadBuffers<T>;
  using Base::lay_out;

  WalkBack(const Program& p, const Bank<T>& bank, Pass pass, Arena& arena)
      : Base(p, bank, pass, arena) {
    spreads_ = arena.take<Spread<T>>(p.matrix_count);
    for (int i = 0; i < p.matrix_count; ++i) {
      const Spread<T> spread(this->matrix(i), arena, p.matrices[i].inputs);
      if (spreads_ != nullptr) spreads_[i] = spread;
    }
  }

  // What the signal gives to the filters' gradients is added to grad.psi and grad.phi; each of the
  // three may be null.
  void operator()(const T* x, const T* gS, const Sums<T>& grad, const SignalBuffers<T>& signal,
                  const Own* own, const Team& team) const {
    {
      SCATCUDA_STAGE(pad);
      pad(p_, x, signal.width, signal.padded);
    }
    if (p_.gathered) gathered(signal, gS, grad, own, team);
    if (grad.phi != nullptr && p_.average >= 0) {
      average_filters(p_.steps[p_.average], p_.padded, signal,
                      gS + p_.steps[p_.average].channel * p_.unit, grad);
    }
    if (p_.child_count > 0) {
      const Spectrum<T> x_hat = this->spectrum_of(signal, own[team.home()]);
      const Spectrum<T> to_x_hat =
          spectrum_at(grad.x == nullptr ? nullptr : signal.level.grad_source, p_.padded);
      if (grad.x != nullptr) clear(to_x_hat, half());
      for (int i = 0; i < p_.child_count; ++i) {
        back(p_.children[i], x_hat, to_x_hat, 0, gS, grad, signal.level, own, team);
      }
      if (grad.x == nullptr) return;
      SCATCUDA_STAGE(signal_adjoint);
      const auto take = half() ? take_half<T> : hermitian_part<T>;
      take(to_x_hat, x_hat, p_.padded.first / 2 + 1, p_.padded.last);
      plane_spectrum_adjoint(lines_of(p_.line), x_hat, signal.half, signal.width, signal.padded,
                             own[team.home()]);
    }
    if (grad.x == nullptr) return;
    signal_adjoint(x, signal, gS);
    pad_adjoint(p_, signal.padded, signal.width, grad.x);
  }

 private:
  // Whether gradients of spectra are those of real planes, so that half of them is enough
  bool half() const { return this->mirrored_ != nullptr; }

  // One step on one plane of its source: what S, and all that follows, send back to the source's
  // spectrum, or to half of it
  void back(int index, const Spectrum<T>& source, const Spectrum<T>& to_source, int64_t plane,
            const T* gS, const Sums<T>& grad, const LevelBuffers<T>& level, const Own* own,
            const Team& team) const {
    SCATCUDA_STEP(index);
    const Step& s = p_.steps[index];
    const Layout<T>& l = layouts_[index];
    with_slots<T>(l.slots, [&](auto slots) {
      constexpr int Slots = decltype(slots)::value;
      const bool norm = s.rho == Rho::norm, further = s.child_count > 0;
      if (norm || further) {
        for (int64_t chunk = 0; chunk < l.chunks; ++chunk) {
          this->template filter<Slots>(s, l, source, 0, chunk, level, own, team);
          if (!further || (norm && chunk + 1 < l.chunks)) continue;
          Rows<T> rows = this->rows_of(s, l, level, norm ? 0 : chunk, lowpasses_[index]);
          rows.reduced.p = nullptr;
          rows.kept = !norm;
          this->template rectify<Slots>(rows, s, l, norm ? 0 : chunk, level, own, team);
        }
      }
      if (further) families(index, plane, gS, grad, level, own, team);
      for (int64_t chunk = 0; chunk < l.chunks; ++chunk) {
        if (!norm && !further) {
          this->template filter<Slots>(s, l, source, 0, chunk, level, own, team);
        }
        if (!norm || chunk == 0)
          turn_planes<Slots>(index, plane, chunk, gS, grad, level, own, team);
        return_columns<Slots>(s, l, source, to_source, chunk, grad, level, own, team);
      }
    });
  }

  // What the steps that follow send back to each Û of a step, in whose place it is left
  void families(int index, int64_t plane, const T* gS, const Sums<T>& grad,
                const LevelBuffers<T>& level, const Own* own, const Team& team) const {
    const Step& s = p_.steps[index];
    const Layout<T>& l = layouts_[index];
    const int64_t family = family_of(s);
    const auto some = [&](int64_t first, int64_t last, const Team& them) {
      const LevelBuffers<T>& next = own[them.home()].levels[s.level - 1];
      for (int64_t i = first; i < last; ++i) {
        const Spectrum<T> u_hat = u_hat_of(level, index, i);
        const Spectrum<T> to_u_hat = spectrum_at(next.grad_source, s.grid);
        {
          SCATCUDA_STAGE(gradient_spectra);
          clear(to_u_hat, half());
        }
        for (int child = 0; child < s.child_count; ++child) {
          back(s.children[child], u_hat, to_u_hat, plane * family + i, gS, grad, next, own, them);
        }
        SCATCUDA_STAGE(gradient_spectra);
        const auto take = half() ? take_half<T> : hermitian_part<T>;
        take(to_u_hat, u_hat, s.grid.first, s.grid.last / 2 + 1);
      }
    };
    if (grad.of_filters()) {  // to whose sums all planes of a family add: one after the other
      some(0, family, team);
    } else {
      team.over(family, [&](int64_t first, int64_t last, int64_t t) {
        some(first, last, Team(nullptr, t));
      });
    }
    // the filters of the lanes beside the others may be anything: they take no part
    for (int64_t i = family; i < l.chunks * l.Q; ++i) clear(u_hat_of(level, index, i), true);
  }

  // W ← W gU / U, along its rows in Fourier; the low-pass' gradient on the way, where it is wanted
  template <int Slots>
  void turn_planes(int index, int64_t plane, int64_t chunk, const T* gS, const Sums<T>& grad,
                   const LevelBuffers<T>& level, const Own* own, const Team& team) const {
    constexpr int Q = full_lanes<T> / Slots;
    const Step& s = p_.steps[index];
    const Layout<T>& l = layouts_[index];
    const bool norm = s.rho == Rho::norm;
    const int64_t family = family_of(s), lane = norm ? 0 : chunk * Q;
    const PlaneLowpass<T>& a = lowpasses_[index];
    Spread<T> across{};
    across.inputs = s.grid.last;
    if (s.average >= 0) {
      SCATCUDA_STAGE(spread);
      if (a.across.matrix != nullptr) across = spreads_[p_.steps[s.average].matrix[2]];
      const Own& here = own[team.home()];
      gather_filters<Q>(gS + this->place_of_plane(s, plane * family + lane), min(Q, family - lane),
                        this->apart_of(s), a.outputs, l.reduced_stride,
                        a.middle.matrix == nullptr ? here.tile : here.tile_2);
      spread_down(p_.steps[s.average], a, {level.reduced, l.reduced_stride}, here);
    }
    Rows<T> rows = this->rows_of(s, l, level, norm ? 0 : chunk, a);
    rows.kept = s.child_count > 0 && !norm;
    if (s.stored) {
      rows.gradient = planes_of(p_, own[team.home()].grad_stored, index);
      rows.plane = plane * family + lane;
      rows.filters = min(Q, family - lane);
    }
    if (parts_of(s) == 2) {
      team.over(ceil_div(rows.count(), Slots), [&](int64_t first, int64_t last, int64_t t) {
        store_rows_adjoint<T, Slots>(rows, s, first, last, own[t]);
      });
      return;
    }
    if (s.child_count > 0) {
      const Spectrum<T> u_hat = spectrum_at(level.u_hat + chunk * l.Q * l.u_hat, s.grid);
      team.over(ceil_div(u_hat.kept(), Slots), [&](int64_t first, int64_t last, int64_t t) {
        spectrum_columns_adjoint<T, Slots>(u_hat, l.u_hat, lines_[s.line[0]], rows.u_hat, first,
                                           last, own[t]);
      });
      if (s.grid.middle > 1) {
        team.over(s.grid.last / 2 + 1, [&](int64_t first, int64_t last, int64_t t) {
          spectrum_middle<1, T, Slots>(s.grid, rows.u_hat, lines_[s.line[1]], first, last, own[t]);
        });
      }
    }
    const bool filters = grad.phi != nullptr && s.average >= 0 && a.powers == nullptr;
    const Plane<T> lowpassed{filters ? own[team.home()].lowpassed : nullptr, l.reduced_stride};
    if (filters) this->blank_margin(lowpassed, rows.count(), a.outputs.last * Q);
    const int64_t count = ceil_div(rows.count(), 2 * Slots);
    const int64_t parts = min(filters ? grad.pieces : team.threads(), count);
    team.over(parts, [&](int64_t first, int64_t last, int64_t t) {
      for (int64_t part = first; part < last; ++part) {
        T* const to_phi = filters ? of_phi(a.across, grad, part) : nullptr;
        LowpassGradient<T, Slots> of_across(a.across, own[t].moduli, to_phi);
        wavelet_rows_adjoint<T, Slots>(
            rows, across, share_of(part, parts, count), share_of(part + 1, parts, count), own[t],
            [&](int64_t r, T* const(&g)[Slots]) {
              if (!filters) return;
              T* target[Slots];
              for (int i = 0; i < Slots; ++i) {
                target[i] = lowpassed.p + min(r + i, rows.count() - 1) * lowpassed.stride;
              }
              of_across.take(Line<T>{own[t].line}, norm, g, rows.count() - r,
                             norm ? own[t].norm : own[t].work, target);
            });
        if (filters) of_across.finish();
      }
    });
    if (filters) lowpass_filters(a, lowpassed, own[team.home()], grad);
  }

  // The rest of the way to the source's spectrum, and to the set's own gradient
  template <int Slots>
  void return_columns(const Step& s, const Layout<T>& l, const Spectrum<T>& source,
                      const Spectrum<T>& to_source, int64_t chunk, const Sums<T>& grad,
                      const LevelBuffers<T>& level, const Own* own, const Team& team) const {
    const Box<T> psi = box(s, chunk * l.Q);
    const Plane<T> wavelet = this->wavelet_of(level, l, chunk);
    T* to_psi = of_psi(psi, grad);
    if (const Mirrored<T>* fold = this->mirrored(s)) {
      team.over(PairGroups<T, Slots>::count(*fold), [&](int64_t first, int64_t last, int64_t t) {
        mirrored_columns_adjoint<T, Slots>(wavelet, psi, *fold, chunk * l.Q, lines_[s.line[0]],
                                           to_source, source, to_psi, first, last, own[t]);
      });
      return;
    }
    const Fold fold(source.grid, s, psi.ends);
    if (s.grid.middle > 1) {
      team.over(s.grid.first, [&](int64_t first, int64_t last, int64_t t) {
        wavelet_middle<-1, T, Slots>(s.grid, fold, wavelet, lines_[s.line[1]], first, last, own[t]);
      });
    }
    team.over(ceil_div(s.grid.middle * s.grid.last, Slots),
              [&](int64_t first, int64_t last, int64_t t) {
                wavelet_columns_adjoint<T, Slots>(wavelet, psi, fold, lines_[s.line[0]], to_source,
                                                  source, to_psi, first, last, own[t]);
              });
  }

  // Whether anything goes back through the values of a group, and not through what it gathers
  bool needs_values(int index, const Sums<T>& grad) const {
    if (p_.steps[index].kind != Kind::group) return false;
    bool taken = grad.phi != nullptr || lowpasses_[index].power_count > 0;
    for (int i = index + 1; i < p_.step_count; ++i) {
      const Step& s = p_.steps[i];
      if (s.kind == Kind::pair) taken = taken || s.source == index || s.other == index;
      for (int k = 0; k < s.source_count; ++k) taken = taken || s.sources[k] == index;
    }
    return taken;
  }

  // --- averages ---

  // reduced [middle, first, n · Q] = what a tile of gradients sends back through the first and
  // middle axis
  void spread_down(const Step& average, const PlaneLowpass<T>& a, const Plane<T>& reduced,
                   const Own& own) const {
    const int64_t stride = reduced.stride, rows = a.outputs.first;
    if (a.middle.matrix != nullptr) {
      spread_columns<false>(spreads_[average.matrix[1]], own.tile_2, rows * stride, rows * stride,
                            own.tile, rows * stride);
    }
    for (int64_t r = 0; r < a.grid.middle; ++r) {
      T* to = reduced.p + r * a.grid.first * stride;
      if (a.down.matrix != nullptr) {
        spread_columns<false>(spreads_[average.matrix[0]], own.tile + r * rows * stride, stride,
                              stride, to, stride);
        continue;
      }
      for (int64_t i = 0; i < a.grid.first * stride; ++i) to[i] = own.tile[i % stride];
    }
  }

  // What planes, low-passed along their rows, give to the matrices of the other axes
  void lowpass_filters(const PlaneLowpass<T>& a, const Plane<T>& lowpassed, const Own& own,
                       const Sums<T>& grad) const {
    const int64_t stride = lowpassed.stride, rows = a.outputs.first;
    for (int64_t r = 0; a.down.matrix != nullptr && r < a.grid.middle; ++r) {
      const T* u = lowpassed.p + r * a.grid.first * stride;
      T* tile = own.tile + r * rows * stride;
      lowpass_gradient_columns(a.down, tile, stride, u, stride, stride, of_phi(a.down, grad));
      if (a.middle.matrix != nullptr) lowpass_columns(a.down, u, stride, stride, tile, stride);
    }
    if (a.middle.matrix == nullptr) return;
    lowpass_gradient_columns(a.middle, own.tile_2, rows * stride, own.tile, rows * stride,
                             rows * stride, of_phi(a.middle, grad));
  }

  // signal.padded, or 0 where no wavelet sent anything back, += what the signal's own average and
  // pairs do
  void signal_adjoint(const T* x, const SignalBuffers<T>& signal, const T* gS) const {
    const int64_t row = p_.padded.middle * signal.width, total = p_.padded.first * row;
    const bool add = p_.child_count > 0;
    if (p_.average >= 0) {
      const Step& average = p_.steps[p_.average];
      const T* g = gS + average.channel * p_.unit;
      if (average.mean == Mean::matrices) {
        average_adjoint(average, p_.padded, signal, g, add);
      } else {
        average_powers(lowpass_of(average, p_.padded), x, signal, g);
      }
    }
    for (int64_t i = 0; p_.average < 0 && !add && i < total; ++i) signal.padded[i] = 0;
    if (!p_.stored) return;
    const Planes<T> to_x = planes_of(p_, signal.grad_stored, -1);
    const int64_t last = p_.padded.last;
    for (int64_t row = 0; row < to_x.points / last; ++row) {
      T* to = signal.padded + row * signal.width;
      for (int64_t c = 0; c < last; ++c) to[c] += to_x.p[row * last + c];
    }
  }

  // room.padded (+)= the adjoint of an average by matrices
  void average_adjoint(const Step& average, const Grid& grid, const PlaneBuffers<T>& room,
                       const T* g, bool add) const {
    const PlaneLowpass<T> a = lowpass_of(average, grid);
    const int64_t width = room.width, row = grid.middle * width, middles = a.outputs.middle * width;
    spread_across(a, room, g);
    const T* from = room.lowpassed_2;
    if (a.middle.matrix != nullptr) {
      for (int64_t o = 0; o < a.outputs.first; ++o) {
        spread_columns<false>(spreads_[average.matrix[1]], room.lowpassed_2 + o * middles, width,
                              width, room.lowpassed + o * row, width);
      }
      from = room.lowpassed;
    }
    if (a.down.matrix != nullptr) {
      const auto spread = add ? spread_columns<true, T> : spread_columns<false, T>;
      spread(spreads_[average.matrix[0]], from, row, row, room.padded, row);
      return;
    }
    for (int64_t i = 0; i < row; ++i) room.padded[i] = add ? room.padded[i] + from[i] : from[i];
  }

  void average_powers(const PlaneLowpass<T>& a, const T* x, const SignalBuffers<T>& signal,
                      const T* g) const {
    // the padded signal made way for its gradient: once more, a row at a time
    const int64_t width = signal.width;
    for_rows(p_, [&](int64_t r, int64_t source) {
      for (int64_t c = 0; c < p_.padded.last; ++c) {
        const int64_t at = shown(p_.padding[2], c - p_.padding[2].before);
        const double v = source < 0 || at < 0 ? 0 : x[source * p_.signal.last + at];
        double sum = 0;
        for (int i = 0; i < a.power_count; ++i) {
          const double q = a.powers[i];
          if (a.mean) {
            sum += g[i];
          } else if (v != 0) {
            sum += g[i] * q * __builtin_pow(__builtin_fabs(v), q - 1) * (v < 0 ? -1 : 1);
          }
        }
        T* to = signal.padded + r * width + c;
        *to = (p_.child_count > 0 ? *to : T(0)) + a.scale * static_cast<T>(sum);
      }
    });
  }

  // lowpassed_2 = g Q, row by row
  void spread_across(const PlaneLowpass<T>& a, const PlaneBuffers<T>& signal, const T* g) const {
    const RowLowpass<T>& across = a.across;
    for (int64_t o = 0; o < a.outputs.first * a.outputs.middle; ++o) {
      T* row = signal.lowpassed_2 + o * signal.width;
      for (int64_t c = 0; c < signal.width; ++c) row[c] = 0;
      for (int64_t i = 0; i < a.outputs.last; ++i, ++g) {
        const T* taps = across.row(i);
        for (Band b = across.span(i); b.left(); b.go_round()) {
          for (int64_t c = b.first, end = b.end(); c < end; ++c) row[c] += *g * taps[c];
        }
      }
    }
  }

  // What a plane gives to the matrices that average it
  void average_filters(const Step& average, const Grid& grid, const PlaneBuffers<T>& signal,
                       const T* g, const Sums<T>& grad) const {
    const PlaneLowpass<T> a = lowpass_of(average, grid);
    if (a.powers != nullptr) return;
    const int64_t width = signal.width, row = grid.middle * width;
    const int64_t rows = a.outputs.first, middles = a.outputs.middle;
    const auto down = [&] {
      if (a.down.matrix == nullptr) return static_cast<const T*>(signal.padded);
      lowpass_columns(a.down, signal.padded, row, row, signal.lowpassed, row);
      return static_cast<const T*>(signal.lowpassed);
    };
    const T* u = down();
    if (a.middle.matrix != nullptr) {
      for (int64_t o = 0; o < rows; ++o) {
        lowpass_columns(a.middle, u + o * row, width, width,
                        signal.lowpassed_2 + o * middles * width, width);
      }
      u = signal.lowpassed_2;
    }
    T* to = of_phi(a.across, grad);
    for (int64_t i = 0; i < a.outputs.last; ++i) {
      for (int64_t o = 0; o < rows * middles; ++o) {
        const T weight = g[o * a.outputs.last + i];
        for (Band b = a.across.span(i); b.left(); b.go_round()) {
          for (int64_t c = b.first, end = b.end(); c < end; ++c) {
            to[i * a.across.stride + c] += weight * u[o * width + c];
          }
        }
      }
    }
    spread_across(a, signal, g);
    if (a.middle.matrix != nullptr) {
      // for every row o of the first axis' outputs: g [middles, width] and P x [middle, width]
      const T* lowpassed = down();
      for (int64_t o = 0; o < rows; ++o) {
        lowpass_gradient_columns(a.middle, signal.lowpassed_2 + o * middles * width, width,
                                 lowpassed + o * row, width, width, of_phi(a.middle, grad));
      }
      for (int64_t o = 0; o < rows; ++o) {
        spread_columns<false>(spreads_[average.matrix[1]], signal.lowpassed_2 + o * middles * width,
                              width, width, signal.lowpassed + o * row, width);
      }
    }
    if (a.down.matrix == nullptr) return;
    const T* from = a.middle.matrix == nullptr ? signal.lowpassed_2 : signal.lowpassed;
    lowpass_gradient_columns(a.down, from, row, signal.padded, row, row, of_phi(a.down, grad));
  }

  // --- steps that gather ---

  // All planes once more; then what S sends back to those that are gathered, from the last step on
  void gathered(const SignalBuffers<T>& signal, const T* gS, const Sums<T>& grad, const Own* own,
                const Team& team) const {
    const Own& here = own[team.home()];
    this->paths(signal, own, team, nullptr);
    for (int i = 0; i < p_.step_count; ++i) {
      if (needs_values(i, grad)) this->group(i, signal, own, team, nullptr);
    }
    this->take_spectra(signal, own, team);
    const auto clear = [](T* p, int64_t numbers) {
      for (int64_t i = 0; i < numbers; ++i) p[i] = 0;
    };
    clear(signal.grad_stored, planes_of<T>(p_, nullptr, p_.step_count).points);
    clear(signal.grad_spectra, spectra_of<T>(p_, nullptr, p_.step_count).count);
    for (int i = p_.step_count; i-- > -1;) {
      return_spectra(i, signal, own, team);
      if (i < 0) break;
      const Step& s = p_.steps[i];
      if (s.kind == Kind::pair) {
        const Pair<T> pair = this->pair(i, signal, here);
        const T* g = gS + s.channel;
        if (s.set < 0) {
          pair.run_adjoint(g, planes_of(p_, signal.grad_stored, s.source),
                           planes_of(p_, signal.grad_stored, s.other));
          continue;
        }
        team.over(pair.weights->columns(), [&](int64_t first, int64_t last, int64_t t) {
          this->pair(i, signal, own[t])
              .run_weighted_adjoint(g, spectra_of(p_, signal.grad_spectra, s.source),
                                    spectra_of(p_, signal.grad_spectra, s.other),
                                    of_psi(pair.filters, grad), first, last);
        });
      }
      if (s.kind != Kind::group) continue;
      const Planes<T> grad_out = planes_of(p_, signal.grad_stored, i);
      if (s.average >= 0) average_group(i, signal, gS, grad, own, team);
      const Group<T> group = this->group_of(i, signal.stored, here.sources);
      for (int k = 0; k < s.source_count; ++k) {
        here.grad_sources[k] = planes_of(p_, signal.grad_stored, s.sources[k]);
      }
      team.over(ceil_div(grad_out.points, full_lanes<T>),
                [&](int64_t first, int64_t last, int64_t t) {
                  group.run_adjoint(grad_out, here.grad_sources, of_psi(group.filters, grad), first,
                                    last, own[t]);
                });
    }
  }

  // What pairs send back to the spectra of a source goes on to its planes
  void return_spectra(int source, const SignalBuffers<T>& signal, const Own* own,
                      const Team& team) const {
    const HalfSpectra<T> from = spectra_of(p_, signal.grad_spectra, source);
    const Planes<T> to = planes_of(p_, signal.grad_stored, source);
    team.over(from.count, [&](int64_t first, int64_t last, int64_t t) {
      for (int64_t k = first; k < last; ++k) {
        return_spectrum(from, k, this->lines_of_planes(source), own[t].spectrum,
                        to.p + k * to.points, own[t]);
      }
    });
  }

  void average_group(int index, const SignalBuffers<T>& signal, const T* gS, const Sums<T>& grad,
                     const Own* own, const Team& team) const {
    const Step &s = p_.steps[index], &average = p_.steps[s.average];
    const PlaneLowpass<T>& a = lowpasses_[index];
    const Planes<T> planes = planes_of(p_, signal.stored, index);
    const Planes<T> to_planes = planes_of(p_, signal.grad_stored, index);
    team.over(s.planes, [&](int64_t first, int64_t last, int64_t t) {
      const PlaneBuffers<T>& room = own[t].plane;
      for (int64_t i = first; i < last; ++i) {
        const T* g = gS + channel_of(average, &s, i) * p_.unit;
        const T* u = planes.of(i, 0);
        T* to = to_planes.of(i, 0);
        if (a.powers != nullptr) {
          for (int64_t k = 0; k < planes.points; ++k) {
            for (int q = 0; q < a.power_count && u[k] > 0; ++q) {
              to[k] += a.scale * g[q] *
                       static_cast<T>(a.powers[q] * __builtin_pow(u[k], a.powers[q] - 1));
            }
          }
          continue;
        }
        if (grad.phi != nullptr) {
          this->take_plane(u, s.grid, room);
          average_filters(average, s.grid, room, g, grad);
        }
        average_adjoint(average, s.grid, room, g, false);
        for (int64_t k = 0; k < planes.points; ++k) {
          to[k] += room.padded[k / s.grid.last * room.width + k % s.grid.last];
        }
      }
    });
  }

  // Where the gradient of a set's filters lies, and that of a matrix
  T* of_psi(const Box<T>& filters, const Sums<T>& grad) const {
    return grad.psi == nullptr ? nullptr : grad.psi + (filters.psi - bank_.psi);
  }
  T* of_phi(const RowLowpass<T>& a, const Sums<T>& grad, int64_t piece = 0) const {
    return grad.piece(piece) + (a.matrix - bank_.phi);
  }

  Spread<T>* spreads_;
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
