// The cascade: S x = A ρ W_J … ρ W_1 x of one signal, as a program has it (core/program.h),
//
//   U[p] = ρ(x ⋆ ψ_1) …  ρ( ρ(x ⋆ ψ_1) ⋆ ψ_2 ) …        S[p] x = A U[p] x
//
// J. Bruna and S. Mallat, "Invariant scattering convolution networks", PAMI 2013, section 2.2,
// where p is a path of wavelets, U[p] the scattering propagator and A the average by φ. A step of
// the program is all paths through the same scales; its filters are the lanes of a vector.
//
// One signal, or one family of paths, is in the cache at a time: the walk goes depth first. A large
// batch is cut over its signals; a small one has the signal's own steps cut over columns, rows and
// then families. Either way each number comes from the same operations in the same order, whatever
// the number of threads. The twin is reference.scattering.
#pragma once

#include "passes/pad.h"
#include "passes/pair.h"
#include "team.h"

namespace scatcuda {
inline namespace SCATCUDA_ISA {

// f(slots) with the constant that a layout asks for
template <class T, class F>
void with_slots(int slots, F&& f) {
  if constexpr (full_lanes<T> >= 16) {
    if (slots == 4) return f(std::integral_constant<int, 4>{});
  }
  if constexpr (full_lanes<T> >= 8) {
    if (slots == 2) return f(std::integral_constant<int, 2>{});
  }
  f(std::integral_constant<int, 1>{});
}

template <class T>
class Walk {
 public:
  using Own = ThreadBuffers<T>;

  Walk(const Program& p, const Bank<T>& bank, Pass pass, Arena& arena) : p_(p), bank_(bank) {
    const T** twiddles = arena.take<const T*>(p.base_count);
    for (int i = 0; i < p.base_count; ++i) {
      T* table = arena.take<T>(2 * p.bases[i]);
      if (table != nullptr) turn(p.bases[i], table), twiddles[i] = table;
    }
    lines_ = arena.take<LineTransform<T>>(p.line_count);
    layouts_ = arena.take<Layout<T>>(p.step_count);
    lowpasses_ = arena.take<PlaneLowpass<T>>(p.step_count);
    if (p.gathered) arrange_groups(arena), arrange_weights(arena);
    arrange_mirrored(arena);
    if (lines_ == nullptr || layouts_ == nullptr) return;
    for (int i = 0; i < p.line_count; ++i) {
      const LinePlan& line = p.lines[i];
      lines_[i] = {line.side, p.bases[line.base] / line.side, line.radices, twiddles[line.base]};
    }
    for (int i = 0; i < p.step_count; ++i) {
      const Step& s = p.steps[i];
      if (s.kind == Kind::wavelet) layouts_[i] = Layout<T>(p, s, pass);
      lowpasses_[i] = s.average < 0 ? PlaneLowpass<T>{} : lowpass_of(p.steps[s.average], s.grid);
    }
  }

  // Lays the filters out as folds and pairs read them, unless they are; to be called before all
  // else
  void lay_out(const Executor& executor) const {
    SCATCUDA_STAGE(layout);
    for (int i = 0; weights_ != nullptr && i < p_.step_count; ++i) {
      const Step& s = p_.steps[i];
      if (s.kind != Kind::pair || s.set < 0 || weights_[s.set].filters > 0) continue;
      const Box<T> filters = box(s, 0);
      Weights<T>& weights = weights_[s.set];
      weights.take_box(s.grid, p_.sets[s.set].count, filters.ends);
      Team(&executor, 0).over(weights.columns(), [&](int64_t first, int64_t last, int64_t) {
        weights.fill(filters, first, last);
      });
    }
    if (mirrored_ == nullptr) return;
    const T* from = bank_.laid_out == nullptr ? laid_out_ : bank_.laid_out;
    int64_t sum = 0;
    for_mirrored<T>(p_, [&](int i, const Mirrored<T>&) {
      const Box<T> psi = box(p_.steps[i], 0);
      Mirrored<T>& fold = mirrored_[i];
      fold.psi = from + sum;
      sum += fold.take_box(psi.ends);
      if (bank_.laid_out == nullptr) {
        Team(&executor, 0).over(fold.pairs(), [&](int64_t first, int64_t last, int64_t) {
          for (int64_t c = first; c < last; ++c) {
            scatcuda::lay_out(fold, psi, c, laid_out_ + (fold.of(c) - from));
          }
        });
      }
    });
  }

  void operator()(const T* x, T* S, const SignalBuffers<T>& signal, const Own* own,
                  const Team& team) const {
    {
      SCATCUDA_STAGE(pad);
      pad(p_, x, signal.width, signal.padded);
    }
    if (p_.average >= 0) {
      SCATCUDA_STAGE(lowpass_columns);
      const Step& average = p_.steps[p_.average];
      average_plane(lowpass_of(average, p_.padded), signal.padded, signal.width, signal.lowpassed,
                    signal.lowpassed_2, S + average.channel * p_.unit);
    }
    paths(signal, own, team, S);
    if (!p_.gathered) return;
    for (int i = 0; i < p_.step_count; ++i) {
      if (p_.steps[i].kind == Kind::group) group(i, signal, own, team, S);
    }
    take_spectra(signal, own, team);
    team.over(team.threads(), [&](int64_t first, int64_t last, int64_t t) {
      for (int64_t start = first; start < last; ++start) {  // every so many steps: they grow
        for (int64_t i = start; i < p_.step_count; i += team.threads()) {
          if (p_.steps[i].kind != Kind::pair) continue;
          pair(static_cast<int>(i), signal, own[t]).run(S + p_.steps[i].channel);
        }
      }
    });
  }

 protected:
  // e^{2πi k/n}
  static void turn(int64_t n, T* out) {
    for (int64_t k = 0; k < n; ++k) {
      const double angle = 2 * trig::pi * static_cast<double>(k) / static_cast<double>(n);
      out[2 * k] = static_cast<T>(cos(angle));
      out[2 * k + 1] = static_cast<T>(sin(angle));
    }
  }

  // --- what a step consists of ---

  Lines<T> lines_of(const int (&line)[3]) const {
    return {lines_[line[0]], lines_[line[1]], lines_[line[2]]};
  }
  RowLowpass<T> matrix(int index) const {
    if (index < 0) return {};
    const Matrix& m = p_.matrices[index];
    return {bank_.phi + m.first_row(), bank_.phi_support + 2 * m.row, m.outputs, m.inputs,
            m.stride()};
  }
  PlaneLowpass<T> lowpass_of(const Step& average, const Grid& grid) const {
    static const double once = 1;
    PlaneLowpass<T> a{grid, average.outputs, matrix(average.matrix[0]), matrix(average.matrix[1]),
                      matrix(average.matrix[2])};
    if (average.mean == Mean::powers)
      a.powers = average.powers, a.power_count = average.power_count;
    if (average.mean == Mean::mean) {
      a.mean = true, a.powers = &once, a.power_count = 1;
      a.scale = T(1) / static_cast<T>(points_of(grid));
    }
    return a;
  }
  // How the columns of its W are made in pairs, null where they are not
  const Mirrored<T>* mirrored(const Step& s) const {
    return mirrored_ == nullptr ? nullptr : mirrored_ + (&s - p_.steps);
  }
  // Planes that a step makes of one of its source's
  int64_t family_of(const Step& s) const { return s.rho == Rho::norm ? 1 : p_.sets[s.set].count; }
  Box<T> box(const Step& s, int64_t first_lane) const { return box_of(p_, bank_, s, first_lane); }
  Spectrum<T> u_hat_of(const LevelBuffers<T>& level, int index, int64_t i) const {
    return spectrum_at(level.u_hat + i * layouts_[index].u_hat, p_.steps[index].grid);
  }
  Spectrum<T> spectrum_of(const SignalBuffers<T>& signal, const Own& own) const {
    SCATCUDA_STAGE(signal_spectrum);
    const Spectrum<T> x_hat = spectrum_at(signal.spectrum, p_.padded);
    plane_spectrum(lines_of(p_.line), signal.padded, signal.width, signal.half, x_hat, own);
    return x_hat;
  }
  Plane<T> wavelet_of(const LevelBuffers<T>& level, const Layout<T>& l, int64_t chunk) const {
    return {level.wavelet + (l.kept_chunks > 1 ? chunk : 0) * l.wavelet, l.wavelet_stride};
  }
  Rows<T> rows_of(const Step& s, const Layout<T>& l, const LevelBuffers<T>& level, int64_t chunk,
                  const PlaneLowpass<T>& a) const {
    const bool norm = s.rho == Rho::norm;
    return {s.grid,
            wavelet_of(level, l, chunk),
            norm ? l.chunks : 1,
            l.wavelet,
            norm,
            lines_[s.line[2]],
            a.across,
            a.powers,
            a.power_count,
            a.scale,
            {s.average < 0 ? nullptr : level.reduced, l.reduced_stride},
            {s.child_count == 0 ? nullptr : level.across, l.across_stride}};
  }
  // Where a chunk's first plane goes, and how far apart the others are
  int64_t place_of_plane(const Step& s, int64_t plane) const {
    return channel_of(p_.steps[s.average], &s, plane) * p_.unit;
  }
  int64_t apart_of(const Step& s) const {
    return s.digits == 0 ? 0 : p_.steps[s.average].stride[s.digits - 1] * p_.unit;
  }

  // What fills up the vectors of a row is 0: it enters sums that nobody reads, but as left-over
  // bits it might be denormal numbers, a hundred times slower.
  static void blank_margin(const Plane<T>& reduced, int64_t rows, int64_t width) {
    for (int64_t r = 0; width < reduced.stride && r < rows; ++r) {
      for (int64_t c = width; c < reduced.stride; ++c) reduced.p[r * reduced.stride + c] = 0;
    }
  }

  // --- the walk ---

  // All wavelet steps of the padded signal. Without S they are not averaged, only stored.
  void paths(const SignalBuffers<T>& signal, const Own* own, const Team& team, T* S) const {
    if (p_.stored) {
      const Planes<T> x = planes_of(p_, signal.stored, -1);
      const int64_t last = p_.padded.last;
      for (int64_t row = 0; row < x.points / last; ++row) {
        std::memcpy(x.p + row * last, signal.padded + row * signal.width,
                    static_cast<size_t>(last) * sizeof(T));
      }
    }
    if (p_.child_count == 0) return;
    const Spectrum<T> x_hat = spectrum_of(signal, own[team.home()]);
    for (int i = 0; i < p_.child_count; ++i) {
      const int index = p_.children[i];
      const Step& s = p_.steps[index];
      propagate(index, x_hat, 0, 0, 0, layouts_[index].chunks, signal.level, own, team, S);
      const int64_t parts = parts_below(s);
      if (parts == 0) continue;
      // pairs of planes, where there are enough of them for all threads
      const int64_t family = family_of(s), pairs = ceil_div(family, 2);
      const int64_t together = pairs * parts >= 4 * team.threads() || team.threads() == 1 ? 2 : 1;
      team.over(ceil_div(family, together) * parts, [&](int64_t first, int64_t last, int64_t t) {
        for (int64_t at = first; at < last; ++at) {
          int64_t part = at % parts;
          int child = 0;
          for (; part >= parts_alone(s.children[child]); ++child) {
            part -= parts_alone(s.children[child]);
          }
          const int64_t plane = at / parts * together;
          descend(s.children[child], part, u_hat_of(signal.level, index, plane),
                  layouts_[index].u_hat, plane, min(together, family - plane), own, t, S);
        }
      });
    }
  }

  // W of one chunk: the source's spectrum times ψ̂, folded, inverse DFT but for the last axis. Of
  // two sources, `apart` numbers from each other, unless that is 0.
  template <int Slots>
  void filter(const Step& s, const Layout<T>& l, const Spectrum<T>& source, int64_t apart,
              int64_t chunk, const LevelBuffers<T>& level, const Own* own, const Team& team) const {
    const Box<T> psi = box(s, chunk * l.Q);
    const Plane<T> wavelet = wavelet_of(level, l, chunk);
    if (const Mirrored<T>* fold = mirrored(s)) {
      team.over(PairGroups<T, Slots>::count(*fold), [&](int64_t first, int64_t last, int64_t t) {
        const Plane<T> out[] = {wavelet, {level.wavelet_2, l.wavelet_stride}};
        const auto columns =
            apart == 0 ? mirrored_columns<T, Slots, 1> : mirrored_columns<T, Slots, 2>;
        columns(source, apart, *fold, chunk * l.Q, lines_[s.line[0]], out, first, last, own[t]);
      });
      return;
    }
    const Fold fold(source.grid, s, psi.ends);
    team.over(ceil_div(s.grid.middle * s.grid.last, Slots), [&](int64_t first, int64_t last,
                                                                int64_t t) {
      wavelet_columns<T, Slots>(source, psi, fold, lines_[s.line[0]], wavelet, first, last, own[t]);
    });
    if (s.grid.middle == 1) return;
    team.over(s.grid.first, [&](int64_t first, int64_t last, int64_t t) {
      wavelet_middle<1, T, Slots>(s.grid, fold, wavelet, lines_[s.line[1]], first, last, own[t]);
    });
  }

  // U = ρ(W) and Û where another wavelet follows
  template <int Slots>
  void rectify(const Rows<T>& rows, const Step& s, const Layout<T>& l, int64_t chunk,
               const LevelBuffers<T>& level, const Own* own, const Team& team) const {
    team.over(ceil_div(rows.count(), 2 * Slots), [&](int64_t first, int64_t last, int64_t t) {
      wavelet_rows<T, Slots>(rows, first, last, own[t]);
    });
    if (s.child_count == 0) return;
    if (s.grid.middle > 1) {
      team.over(s.grid.last / 2 + 1, [&](int64_t first, int64_t last, int64_t t) {
        spectrum_middle<-1, T, Slots>(s.grid, rows.u_hat, lines_[s.line[1]], first, last, own[t]);
      });
    }
    const Spectrum<T> out = spectrum_at(level.u_hat + chunk * l.Q * l.u_hat, s.grid);
    team.over(ceil_div(out.kept(), Slots), [&](int64_t first, int64_t last, int64_t t) {
      spectrum_columns<T, Slots>(rows.u_hat, lines_[s.line[0]], out, l.u_hat, first, last, own[t]);
    });
  }

  // One step on one plane of its source: U, A U and Û, of some chunks of its filters. On that and
  // the next, `apart` numbers on, unless that is 0.
  void propagate(int index, const Spectrum<T>& source, int64_t apart, int64_t plane,
                 int64_t first_chunk, int64_t last_chunk, const LevelBuffers<T>& level,
                 const Own* own, const Team& team, T* S) const {
    SCATCUDA_STEP(index);
    const Step& s = p_.steps[index];
    const Layout<T>& l = layouts_[index];
    with_slots<T>(l.slots, [&](auto slots) {
      constexpr int Slots = decltype(slots)::value, Q = full_lanes<T> / Slots;
      const bool norm = s.rho == Rho::norm;
      for (int64_t chunk = first_chunk; chunk < last_chunk; ++chunk) {
        filter<Slots>(s, l, source, apart, chunk, level, own, team);
        if (norm && chunk + 1 < last_chunk) continue;
        const int64_t lane = norm ? 0 : chunk * Q, family = family_of(s);
        const bool averaged = s.average >= 0 && S != nullptr;
        const PlaneLowpass<T>& a = lowpasses_[index];
        Rows<T> rows = rows_of(s, l, level, norm ? 0 : chunk, a);
        if (s.stored) {
          team.over(ceil_div(rows.count(), Slots), [&](int64_t first, int64_t last, int64_t t) {
            store_rows<T, Slots>(rows, s, min(Q, family - lane),
                                 planes_of(p_, own[t].stored, index), plane * family + lane, first,
                                 last, own[t]);
          });
        }
        if (averaged) {
          blank_margin(rows.reduced, rows.count(), a.outputs.last * Q);
        } else {
          rows.reduced.p = nullptr;
        }
        if (averaged || s.child_count > 0) {
          rectify<Slots>(rows, s, l, norm ? 0 : chunk, level, own, team);
        }
        if (!averaged) continue;
        finish<Q>(a, rows.reduced, min(Q, family - lane), apart_of(s), own[team.home()],
                  S + place_of_plane(s, plane * family + lane));
        if (apart == 0) continue;
        rows.wavelet.p = level.wavelet_2;
        rectify<Slots>(rows, s, l, chunk, level, own, team);
        finish<Q>(a, rows.reduced, min(Q, family - lane), apart_of(s), own[team.home()],
                  S + place_of_plane(s, (plane + 1) * family + lane));
      }
    });
  }

  // How many pieces of work a child is, for each plane: its chunks, unless more follows or they
  // are needed at once
  int64_t parts_alone(int child) const {
    const Step& s = p_.steps[child];
    return s.child_count > 0 || s.rho == Rho::norm ? 1 : layouts_[child].chunks;
  }
  int64_t parts_below(const Step& s) const {
    int64_t parts = 0;
    for (int i = 0; i < s.child_count; ++i) parts += parts_alone(s.children[i]);
    return parts;
  }

  // A step on one plane of its source, or on that and the next, `apart` numbers on, and all that
  // follows, on thread t
  void descend(int index, int64_t part, Spectrum<T> source, int64_t apart, int64_t plane,
               int64_t planes, const Own* own, int64_t t, T* S) const {
    const Step& s = p_.steps[index];
    const LevelBuffers<T>& level = own[t].levels[s.level - 2];
    const int64_t parts = parts_alone(index);
    const int64_t last = parts == 1 ? layouts_[index].chunks : part + 1;
    const Team alone(nullptr, t);
    if (planes == 2 && layouts_[index].twice && mirrored_ != nullptr && S != nullptr) {
      propagate(index, source, apart, plane, part, last, level, own, alone, S);
      return;
    }
    for (int64_t k = 0; k < planes; ++k, ++plane, source.p += apart) {
      propagate(index, source, 0, plane, part, last, level, own, alone, S);
      const int64_t family = s.child_count > 0 ? family_of(s) : 0;
      for (int64_t i = 0; i < family; i += 2) {
        for (int child = 0; child < s.child_count; ++child) {
          for (int64_t each = 0; each < parts_alone(s.children[child]); ++each) {
            descend(s.children[child], each, u_hat_of(level, index, i), layouts_[index].u_hat,
                    plane * family + i, min(2, family - i), own, t, S);
          }
        }
      }
    }
  }

  // Room for the filters as the folds of images read them
  void arrange_mirrored(Arena& arena) {
    const int64_t numbers = most_laid_out<T>(p_);
    if (numbers == 0) return;
    mirrored_ = arena.take<Mirrored<T>>(p_.step_count);
    for_mirrored<T>(p_, [&](int i, Mirrored<T> fold) {
      fold.before = arena.take<int64_t>(fold.pairs() + 1);
      if (mirrored_ != nullptr) mirrored_[i] = fold;
    });
    if (bank_.laid_out == nullptr) laid_out_ = arena.take<T>(numbers);
  }

  // --- steps that gather ---

  // Of short axes, their filters by the definition
  void arrange_groups(Arena& arena) {
    mixtures_ = arena.take<Mixture<T>>(p_.step_count);
    AxisFilters<T>* sets = arena.take<AxisFilters<T>>(p_.set_count);
    for (int i = 0; i < p_.step_count; ++i) {
      const Step& s = p_.steps[i];
      if (mixtures_ != nullptr) mixtures_[i] = Mixture<T>();
      if (s.kind != Kind::group || p_.sets[s.set].points > Mixture<T>::longest) continue;
      bool known = false;
      for (int k = 0; k < i; ++k)
        known |= p_.steps[k].kind == Kind::group && p_.steps[k].set == s.set;
      if (!known) {
        const AxisFilters<T> made(p_.sets[s.set], bank_, arena);
        if (sets != nullptr) sets[s.set] = made;
      }
      const Mixture<T> mixture(s, p_.sets[s.set], sets == nullptr ? nullptr : sets + s.set, arena);
      if (mixtures_ != nullptr) mixtures_[i] = mixture;
    }
  }

  Group<T> group_of(int index, T* stored, Planes<T>* sources) const {
    static const int64_t whole[] = {1, 1};
    const Step& s = p_.steps[index];
    const Set& set = p_.sets[s.set];
    const int64_t* row = bank_.psi_support + set.row + 1;
    for (int i = 0; i < s.source_count; ++i) sources[i] = planes_of(p_, stored, s.sources[i]);
    return {s,
            set,
            {bank_.psi + row[-1], set.lanes, {whole, whole, row}},
            lines_[s.group_line],
            sources,
            p_.steps,
            planes_of(p_, stored, index),
            mixtures_[index]};
  }

  void group(int index, const SignalBuffers<T>& signal, const Own* own, const Team& team,
             T* S) const {
    const Step& s = p_.steps[index];
    const Group<T> group = group_of(index, signal.stored, own[team.home()].sources);
    team.over(ceil_div(group.out.points, full_lanes<T>),
              [&](int64_t first, int64_t last, int64_t t) { group.run(first, last, own[t]); });
    if (s.average < 0 || S == nullptr) return;
    const Step& average = p_.steps[s.average];
    team.over(s.planes, [&](int64_t first, int64_t last, int64_t t) {
      const PlaneBuffers<T>& room = own[t].plane;
      for (int64_t i = first; i < last; ++i) {
        take_plane(group.out.of(i, 0), s.grid, room);
        average_plane(lowpasses_[index], room.padded, room.width, room.lowpassed, room.lowpassed_2,
                      S + channel_of(average, &s, i) * p_.unit);
      }
    });
  }
  static void take_plane(const T* plane, const Grid& grid, const PlaneBuffers<T>& room) {
    for (int64_t r = 0; r < grid.first * grid.middle; ++r) {
      T* to = room.padded + r * room.width;
      for (int64_t c = 0; c < room.width; ++c)
        to[c] = c < grid.last ? plane[r * grid.last + c] : T(0);
    }
  }

  Pair<T> pair(int index, const SignalBuffers<T>& signal, const Own& own) const {
    const Step& s = p_.steps[index];
    const auto side = [&](int source) -> typename Pair<T>::Side {
      return {planes_of(p_, signal.stored, source), spectra_of(p_, signal.spectra, source)};
    };
    return {s,
            p_.padded,
            s.set < 0 ? nullptr : weights_ + s.set,
            s.set < 0 ? Box<T>{} : box(s, 0),
            side(s.source),
            side(s.other),
            own.pair};
  }

  // Room for the weights of pairs, as they are read
  void arrange_weights(Arena& arena) {
    weights_ = arena.take<Weights<T>>(p_.set_count);
    for (int i = 0; weights_ != nullptr && i < p_.set_count; ++i) weights_[i] = Weights<T>();
    for (int set = 0; set < p_.set_count; ++set) {
      int i = 0;
      while (i < p_.step_count && (p_.steps[i].kind != Kind::pair || p_.steps[i].set != set)) ++i;
      if (i == p_.step_count) continue;
      T* table = arena.take<T>(Weights<T>::most_numbers(p_.steps[i].grid, p_.sets[set].count));
      if (weights_ != nullptr) weights_[set].table = table;
    }
  }

  // The lines of a source's planes
  Lines<T> lines_of_planes(int source) const {
    return lines_of(source < 0 ? p_.line : p_.steps[source].line);
  }

  // Those of all planes that pairs with weights take
  void take_spectra(const SignalBuffers<T>& signal, const Own* own, const Team& team) const {
    for (int i = -1; i < p_.step_count; ++i) {
      const HalfSpectra<T> to = spectra_of(p_, signal.spectra, i);
      const Planes<T> planes = planes_of(p_, signal.stored, i);
      team.over(to.count, [&](int64_t first, int64_t last, int64_t t) {
        for (int64_t k = first; k < last; ++k) {
          take_spectrum(planes.p + k * planes.points, lines_of_planes(i), own[t].spectrum, to, k,
                        own[t]);
        }
      });
    }
  }

  const Program& p_;
  const Bank<T>& bank_;
  LineTransform<T>* lines_;
  Mirrored<T>* mirrored_ = nullptr;  // of each wavelet step, or of none
  T* laid_out_ = nullptr;            // their filters, where the bank does not have them
  Layout<T>* layouts_;               // of each step
  PlaneLowpass<T>* lowpasses_;       // of each step's average
  Mixture<T>* mixtures_ = nullptr;   // of each group step
  Weights<T>* weights_ = nullptr;    // of each set, filled where a pair takes it
};

}  // namespace SCATCUDA_ISA
}  // namespace scatcuda
