// Reads programs, which may come from anyone: nothing in the text is believed before it is checked,
// and after that the engines need to check nothing.
#include "program.h"

#include <algorithm>
#include <deque>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace scatcuda {
namespace {

using std::string;
using std::string_view;

struct Refused {
  string why;
};

template <class... Parts>
string text_of(const Parts&... parts) {
  string text;
  const auto add = [&](const auto& part) {
    if constexpr (std::is_arithmetic_v<std::decay_t<decltype(part)>>) {
      text += std::to_string(part);
    } else {
      text += part;
    }
  };
  (add(parts), ...);
  return text;
}

// Refuses what does not hold
template <class... Parts>
void expect(bool holds, const Parts&... parts) {
  if (!holds) throw Refused{text_of(parts...)};
}

string quoted(string_view word) {
  constexpr size_t most = 40;
  string text = "'";
  for (const char c : word.substr(0, most)) text += c < ' ' || c > '~' ? '?' : c;
  return text + (word.size() > most ? "…'" : "'");
}

// Takes texts apart at a character: empty pieces are pieces.
std::vector<string_view> parted(string_view text, char at) {
  std::vector<string_view> pieces;
  for (size_t first = 0;;) {
    const size_t end = text.find(at, first);
    pieces.push_back(text.substr(first, end - first));
    if (end == string_view::npos) return pieces;
    first = end + 1;
  }
}

int64_t integer_of(string_view word, int64_t least, int64_t most, const char* what) {
  int64_t value = 0;
  bool sound = !word.empty() && word.size() <= 18;
  for (const char c : word) sound = sound && c >= '0' && c <= '9';
  for (size_t i = 0; sound && i < word.size(); ++i) value = 10 * value + (word[i] - '0');
  expect(sound && value >= least && value <= most, what, " must be an integer from ", least, " to ",
         most, "; got ", quoted(word));
  return value;
}

// Digits with or without a point between them
double decimal_of(string_view word, const char* what) {
  double value = 0, scale = 1;
  bool sound = !word.empty() && word.size() <= 16, point = false;
  for (const char c : word) {
    if (c == '.' && !point) {
      point = true;
      continue;
    }
    sound = sound && c >= '0' && c <= '9';
    if (!sound) break;
    value = 10 * value + (c - '0');
    scale *= point ? 10 : 1;
  }
  expect(sound && word[0] != '.' && word.back() != '.', what,
         " must be a number in digits, as 2 or 0.5; got ", quoted(word));
  return value / scale;
}

const char* const part_of_speech[] = {"wavelet", "group", "average", "pair"};

// Owns what a Program points to.
struct Owner {
  Program program{};
  std::vector<Set> sets;
  std::vector<Matrix> matrices;
  std::vector<Step> steps;
  std::vector<LinePlan> lines;
  std::vector<int64_t> bases;
  std::vector<int> signal_children;
  std::deque<std::vector<int>> children;
  std::deque<std::vector<int>> ints;
  std::deque<std::vector<int64_t>> integers;
  std::deque<std::vector<double>> decimals;
};

class Reader {
 public:
  explicit Reader(string_view text) {
    expect(text.size() <= longest_text, "a program must have at most ", longest_text,
           " characters; got ", text.size());
    for (const string_view statement : parted(text, ';')) read(statement);
    expect(p_.rank > 0, "a program must begin with the signal, as in 'x 32 32'");
    expect(p_.sides >= 0, "a program must say what results, as in 'S 81 8 8'");
    finish();
  }

  std::unique_ptr<Owner> take() { return std::move(owner_); }

 private:
  std::unique_ptr<Owner> owner_ = std::make_unique<Owner>();
  Owner& o_ = *owner_;
  Program& p_ = unstarted(o_.program);
  std::vector<string_view> words_;
  size_t next_ = 0;
  int64_t planes_ = 0, averaged_ = 0, paired_ = 0;

  static Program& unstarted(Program& p) {
    p.sides = -1;
    p.average = -1;
    return p;
  }

  template <class G>
  static auto& at_part(G& g, int part) {
    return part == 0 ? g.first : part == 1 ? g.middle : g.last;
  }

  string_view word(const char* what) {
    expect(next_ < words_.size(), "it ends where ", what, " should follow");
    return words_[next_++];
  }
  bool left() const { return next_ < words_.size(); }
  bool accept(string_view expected) {
    const bool here = left() && words_[next_] == expected;
    next_ += here;
    return here;
  }

  void read(string_view statement) {
    words_ = parted(statement, ' ');
    next_ = 0;
    const string_view verb = word("a statement");
    const size_t number = o_.steps.size();
    int kind = -1;
    for (int i = 0; i < 4; ++i) {
      if (verb == part_of_speech[i]) kind = i;
    }
    try {
      if (kind < 0) {
        declare(verb);
      } else {
        expect(p_.rank > 0 && p_.sides >= 0, "the signal and the result must come first");
        step(static_cast<Kind>(kind));
      }
      expect(!left(), "nothing must follow, but there is ",
             quoted(left() ? words_[next_] : string_view()));
    } catch (const Refused& refused) {
      const string where =
          kind < 0 ? "statement " + quoted(statement) : text_of("step ", number, " (", verb, ")");
      throw Refused{where + ": " + refused.why};
    }
  }

  // --- signal, result, tables ---

  void declare(string_view verb) {
    if (verb == "x") return signal();
    expect(p_.rank > 0, "a program must begin with the signal, as in 'x 32 32'");
    if (verb == "S") return result();
    expect(o_.steps.empty(), "it must come before the steps");
    if (verb == "psi") return set();
    if (verb == "phi") return matrix();
    throw Refused{"it must begin with x, S, psi, phi, wavelet, group, average or pair"};
  }

  void signal() {
    expect(p_.rank == 0, "the signal is there already");
    expect(words_.size() - 1 <= max_rank, "a signal must have from 1 to 3 axes; got ",
           words_.size() - 1);
    int64_t padded[max_rank], points = 1;
    do {
      const string_view axis = word("an axis");
      const size_t letter = axis.find_first_of("rszp");
      Axis& a = p_.axis[p_.rank];
      a.size = integer_of(axis.substr(0, letter), 1, longest_side, "a side");
      a.pad = Pad::none;
      if (letter != string_view::npos) {
        const auto margins = parted(axis.substr(letter + 1), '+');
        expect(margins.size() == 2, "padding must be before+after, as in 32r4+4; got ",
               quoted(axis));
        const char how = axis[letter];
        a.pad = how == 'r'   ? Pad::reflect
                : how == 's' ? Pad::symmetric
                : how == 'z' ? Pad::zeros
                             : Pad::periodic;
        // once round at most
        const int64_t most = how == 'r' ? 2 * a.size - 2 : how == 'z' ? longest_side : a.size;
        a.before = integer_of(margins[0], 0, most, "padding");
        a.after = integer_of(margins[1], 0, most, "padding");
      }
      padded[p_.rank++] = a.size + a.before + a.after;
      expect(padded[p_.rank - 1] <= longest_side, "a padded side must be at most ", longest_side);
      points = product(points, padded[p_.rank - 1], "points of the padded signal");
    } while (left());
    int64_t sizes[max_rank];
    for (int i = 0; i < p_.rank; ++i) sizes[i] = p_.axis[i].size;
    p_.signal = grid_of(sizes);
    p_.padded = grid_of(padded);
    for (Axis& axis : p_.padding) axis = {1, 0, 0, Pad::none};
    for (int i = 0; i < p_.rank; ++i) p_.padding[part(i)] = p_.axis[i];
  }

  void result() {
    expect(p_.sides < 0, "the result is there already");
    p_.channels = integer_of(word("the number of channels"), 1, most_numbers, "channels");
    p_.sides = 0;
    p_.unit = 1;
    while (left()) {
      expect(p_.sides < max_rank, "a channel must have at most 3 sides");
      const int64_t side = integer_of(word("a side"), 1, longest_side, "a side");
      p_.side[p_.sides++] = side;
      p_.unit = product(p_.unit, side, "numbers of a channel");
    }
    product(p_.channels, p_.unit, "numbers of a result");
  }

  void set() {
    Set s{};
    s.count = integer_of(word("the number of filters"), 1, most_filters, "filters");
    s.lanes = lanes_of(s.count);
    s.points = 1;
    while (left()) {
      expect(s.axes < max_rank, "a set's grid must have at most 3 axes");
      const int64_t side = integer_of(word("a side"), 1, longest_side, "a side");
      s.side[s.axes++] = side;
      s.points = product(s.points, side, "points of a grid");
    }
    expect(s.axes > 0, "it ends where a side should follow");
    product(s.points, s.lanes, "numbers of a table");
    s.row = p_.psi_support_numbers;
    p_.psi_support_numbers += 1 + 2 * s.axes;
    expect(o_.sets.size() < most_steps, "there must be at most ", most_steps, " sets");
    o_.sets.push_back(s);
  }

  void matrix() {
    Matrix m{};
    m.outputs = integer_of(word("outputs"), 1, longest_side, "outputs");
    m.inputs = integer_of(word("inputs"), 1, longest_side, "inputs");
    if (left()) {
      const string_view turn = word("/ and by how much a row is turned");
      expect(turn.substr(0, 1) == "/", "rows are turned as in /2; got ", quoted(turn));
      m.every = integer_of(turn.substr(1), 1, longest_side, "by how much a row is turned");
    }
    expect(m.every == 0 || p_.rank == 1, "rows are turned for signals of one axis alone");
    m.first = p_.phi_numbers;
    m.row = p_.phi_rows;
    p_.phi_numbers += m.numbers();
    p_.phi_rows += m.outputs;
    expect(p_.phi_numbers <= most_numbers, "the matrices must have at most ", most_numbers,
           " numbers");
    expect(o_.matrices.size() < most_steps, "there must be at most ", most_steps, " matrices");
    o_.matrices.push_back(m);
  }

  int64_t product(int64_t a, int64_t b, const char* what) const {
    expect(b <= most_numbers / a, what, ": ", a, " x ", b, " are more than ", most_numbers);
    return a * b;
  }

  // --- steps ---

  void step(Kind kind) {
    expect(o_.steps.size() < most_steps, "there must be at most ", most_steps, " steps");
    Step s;
    s.kind = kind;
    if (kind == Kind::wavelet) wavelet(s);
    if (kind == Kind::group) group(s);
    if (kind == Kind::average) average(s);
    if (kind == Kind::pair) pair(s);
    paired_ += s.pairs;
    expect(paired_ <= most_planes, "more than ", most_planes, " planes are paired");
    planes_ += s.planes;
    expect(s.planes <= most_planes && planes_ <= 8 * most_planes, "it has ", s.planes,
           " planes; a step may have ", most_planes, ", and all ", 8 * most_planes);
    o_.steps.push_back(s);
    o_.children.emplace_back();
    const int index = static_cast<int>(o_.steps.size()) - 1;
    if (kind == Kind::wavelet) {
      (s.source < 0 ? o_.signal_children : o_.children[static_cast<size_t>(s.source)])
          .push_back(index);
    }
    if (kind == Kind::average) {
      (s.source < 0 ? p_.average : at(s.source).average) = index;
      averaged_ += planes_of(s.source);
      expect(averaged_ <= most_planes, "more than ", most_planes, " planes are averaged");
    }
  }

  Step& at(int index) { return o_.steps[static_cast<size_t>(index)]; }

  // A step whose planes can be had
  int earlier(string_view name) {
    const auto count = static_cast<int64_t>(o_.steps.size());
    const int64_t index = integer_of(name, 0, most_steps, "a source");
    expect(index < count, "it takes the planes of step ", index, ", which does not come before it");
    const Kind kind = at(static_cast<int>(index)).kind;
    expect(kind == Kind::wavelet || kind == Kind::group, "it takes the planes of step ", index,
           ", which has none");
    return static_cast<int>(index);
  }
  int source() {
    if (accept("x")) return -1;
    return earlier(word("a source"));
  }
  const Grid& grid_of_source(int source) { return source < 0 ? p_.padded : at(source).grid; }
  void expect_real(int source) {
    expect(source < 0 || is_real(at(source)), "it needs real planes, and those of step ", source,
           " are complex");
  }
  static bool is_real(const Step& s) { return parts_of(s) == 1; }

  int set_of(const char* what) {
    const int64_t index = integer_of(word(what), 0, most_steps, "a set");
    expect(index < static_cast<int64_t>(o_.sets.size()), "there is no set ", index);
    return static_cast<int>(index);
  }

  // Its planes are gathered: all of a signal's at a time.
  void store(Step& s) {
    s.stored = true;
    product(points_of(s.grid), parts_of(s) * s.planes, "numbers of the planes that it gathers");
  }

  // Axes of a rank by the parts that they play
  int part(int axis) const { return axis == p_.rank - 1 ? 2 : axis; }
  Grid grid_of(const int64_t* side) const {
    Grid g{1, 1, 1};
    for (int i = 0; i < p_.rank; ++i) at_part(g, part(i)) = side[i];
    return g;
  }
  static bool equal(const Grid& a, const Grid& b) {
    return a.first == b.first && a.middle == b.middle && a.last == b.last;
  }
  static string sides_of(const Grid& g) { return text_of(g.first, " x ", g.middle, " x ", g.last); }
  void expect_grid(int set, const Grid& grid) {
    const Set& s = o_.sets[static_cast<size_t>(set)];
    expect(s.axes == p_.rank && equal(grid_of(s.side), grid), "its set ", set,
           " is not for planes of ", sides_of(grid));
  }

  void wavelet(Step& s) {
    s.source = source();
    expect_real(s.source);
    expect(s.source < 0 || at(s.source).kind == Kind::wavelet, "it filters the planes of step ",
           s.source, ", which is no wavelet");
    s.set = set_of("a set");
    const Grid& from = grid_of_source(s.source);
    expect_grid(s.set, from);
    s.grid = from;
    bool* const crops[] = {&s.crop_first, &s.crop_middle, &s.crop_last};
    for (int axis = 0; axis < p_.rank; ++axis) {
      const string_view how = word("/ or < for each axis");
      expect(how.size() > 1 && (how[0] == '/' || how[0] == '<'),
             "each axis must be folded, as in /2, or cropped, as in <2; got ", quoted(how));
      const int64_t side = at_part(from, part(axis));
      const int64_t k = integer_of(how.substr(1), 1, longest_side, "a fold");
      expect(side % k == 0, "it folds axis ", axis, ", of ", side, " points, by ", k,
             ", which does not divide it");
      at_part(s.fold, part(axis)) = k;
      at_part(s.grid, part(axis)) = side / k;
      *crops[part(axis)] = how[0] == '<' && k > 1;
    }
    const string_view rho = word("modulus, norm, none or phase:p");
    if (rho.substr(0, 6) == "phase:") {
      s.rho = Rho::phase;
      s.phase = decimal_of(rho.substr(6), "the power of a phase");
    } else {
      expect(rho == "modulus" || rho == "norm" || rho == "none",
             "rho must be modulus, norm, none or phase:p; got ", quoted(rho));
      s.rho = rho == "modulus" ? Rho::modulus : rho == "norm" ? Rho::norm : Rho::none;
    }
    s.planes = 1;
    s.level = 1;
    if (s.source >= 0) {
      const Step& before = at(s.source);
      s.level = before.level + 1;
      s.planes = before.planes;
      s.digits = before.digits;
      std::copy_n(before.digit, before.digits, s.digit);
    }
    expect(s.level <= max_level, "more than ", max_level, " wavelets in a row");
    p_.levels = std::max(p_.levels, s.level);
    if (s.rho != Rho::norm) append_digit(s, o_.sets[static_cast<size_t>(s.set)].count);
  }

  static void append_digit(Step& s, int64_t count) {
    s.digit[s.digits++] = count;
    s.planes = s.planes > most_planes ? s.planes : s.planes * count;
  }

  void group(Step& s) {
    auto& sources = o_.ints.emplace_back();
    int64_t planes = 0;
    for (const string_view name : parted(word("the sources"), ',')) {
      const int index = earlier(name);
      sources.push_back(index);
      store(at(index));
      planes += at(index).planes;
      s.level = std::max(s.level, at(index).level);
      expect(equal(at(index).grid, at(sources[0]).grid), "its sources ", sources[0], " and ", index,
             " have planes of ", sides_of(at(sources[0]).grid), " and ", sides_of(at(index).grid));
    }
    s.source = sources[0];
    s.sources = sources.data();
    s.source_count = static_cast<int>(sources.size());
    s.grid = at(s.source).grid;
    const auto sizes = parted(word("the size of its table"), 'x');
    expect(sizes.size() == 2, "the size of its table must be groups x length, as in 2x4");
    s.groups = integer_of(sizes[0], 1, most_planes, "groups");
    s.length = integer_of(sizes[1], 1, most_filters, "the length of a group");
    const auto entries = parted(word("its table"), ',');
    expect(static_cast<int64_t>(entries.size()) == s.groups * s.length, "its table must have ",
           s.groups * s.length, " planes; got ", entries.size());
    auto& table = o_.integers.emplace_back();
    for (const string_view entry : entries) {
      const bool conjugate = entry.substr(0, 1) == "~";
      const string_view plane = entry.substr(conjugate ? 1 : 0);
      table.push_back(entry == "-" ? -1
                                   : 2 * integer_of(plane, 0, planes - 1, "a plane") + conjugate);
    }
    s.table = table.data();
    s.set = set_of("a set");
    const Set& filters = o_.sets[static_cast<size_t>(s.set)];
    expect(filters.axes == 1 && filters.points >= s.length && filters.points <= most_filters,
           "its set must be for an axis of ", s.length, " to ", most_filters, " points");
    const string_view every = word("/ and how many places are one");
    expect(every.substr(0, 1) == "/", "it must keep every s-th place, as in /2; got ",
           quoted(every));
    s.every = integer_of(every.substr(1), 1, s.length, "the places that are one");
    expect(filters.points > s.length || s.length % s.every == 0, "it keeps every ", s.every,
           "th of ", s.length, " places, which does not divide them");
    const string_view rho = word("modulus, none or mean");
    expect(rho == "modulus" || rho == "none" || rho == "mean",
           "rho must be modulus, none or mean; got ", quoted(rho));
    s.rho = rho == "modulus" ? Rho::modulus : rho == "none" ? Rho::none : Rho::mean;
    s.planes = 1;
    append_digit(s, s.groups);
    append_digit(s, filters.count);
    if (s.rho != Rho::mean) append_digit(s, places_of(s));
    store(s);
  }

  void average(Step& s) {
    s.source = source();
    expect_real(s.source);
    const Step* before = s.source < 0 ? nullptr : &at(s.source);
    const int other = before == nullptr ? p_.average : before->average;
    expect(other < 0, "it averages what step ", other, " does already");
    const Grid& grid = grid_of_source(s.source);
    if (accept("mean")) {
      s.mean = Mean::mean;
    } else if (accept("power")) {
      s.mean = Mean::powers;
      auto& powers = o_.decimals.emplace_back();
      while (left() && words_[next_] != "at") powers.push_back(decimal_of(word("q"), "a power"));
      expect(!powers.empty() && powers.size() <= 64, "it must have from 1 to 64 powers");
      s.powers = powers.data();
      s.power_count = static_cast<int>(powers.size());
      s.outputs.last = s.power_count;
    } else {
      expect(accept("by"), "it must go on with by, mean or power");
      for (int axis = 0; axis < p_.rank; ++axis) {
        const int64_t index = integer_of(word("a matrix for each axis"), 0, most_steps, "a matrix");
        expect(index < static_cast<int64_t>(o_.matrices.size()), "there is no matrix ", index);
        const Matrix& m = o_.matrices[static_cast<size_t>(index)];
        const int64_t side = at_part(grid, part(axis));
        expect(m.inputs == side, "matrix ", index, " takes ", m.inputs, " points, and axis ", axis,
               " has ", side);
        s.matrix[part(axis)] = static_cast<int>(index);
        at_part(s.outputs, part(axis)) = m.outputs;
      }
    }
    const int64_t numbers =
        product(product(s.outputs.first, s.outputs.middle, "numbers of a plane"), s.outputs.last,
                "numbers of a plane");
    expect(numbers % p_.unit == 0, "a plane of ", numbers, " numbers does not fill channels of ",
           p_.unit);
    s.plane_channels = numbers / p_.unit;
    expect(accept("at"), "it must go on with at and a channel");
    const auto places = parted(word("a channel"), '+');
    const size_t digits = before == nullptr ? 0 : static_cast<size_t>(before->digits);
    expect(places.size() == digits + 1, "it must say where ", digits,
           " digits of a plane's number lead, as in 1+8+1; got ", places.size() - 1);
    s.channel = integer_of(places[0], 0, p_.channels - 1, "a channel");
    int64_t last = s.channel + s.plane_channels - 1;
    for (size_t i = 0; i < digits; ++i) {
      s.stride[i] = integer_of(places[i + 1], 0, p_.channels, "a stride");
      const int64_t steps = before->digit[i] - 1;
      expect(steps == 0 || s.stride[i] <= most_numbers / steps, "its channels lead beyond ",
             p_.channels);
      last += steps * s.stride[i];
    }
    expect(last < p_.channels, "it writes channel ", last, ", and there are ", p_.channels);
  }

  void pair(Step& s) {
    s.source = source();
    s.other = source();
    for (const int source : {s.source, s.other}) {
      if (source < 0) {
        p_.stored = true;
      } else {
        store(at(source));
      }
    }
    const string_view list = word("pairs of planes");
    const int64_t counts[] = {planes_of(s.source), planes_of(s.other)};
    auto& pairs = o_.integers.emplace_back();
    if (list == "all") {
      expect(counts[0] <= most_planes / counts[1], "it has more than ", most_planes, " pairs");
      for (int64_t a = 0; a < counts[0]; ++a) {
        for (int64_t b = 0; b < counts[1]; ++b) pairs.insert(pairs.end(), {a, b});
      }
    } else {
      for (const string_view entry : parted(list, ',')) {
        const auto two = parted(entry, ':');
        expect(two.size() == 2, "a pair must be two planes, as in 0:3; got ", quoted(entry));
        for (size_t i = 0; i < 2; ++i) {
          pairs.push_back(integer_of(two[i], 0, counts[i] - 1, "a plane"));
        }
      }
    }
    s.pair = pairs.data();
    s.pairs = static_cast<int64_t>(pairs.size() / 2);
    Grid a = grid_of_source(s.source);
    const Grid b = grid_of_source(s.other);
    int64_t filters = 1;
    if (accept("weight")) {
      s.set = set_of("a set");
      const Set& set = o_.sets[static_cast<size_t>(s.set)];
      const Grid bins = grid_of(set.side);
      a = {min(a.first, b.first), min(a.middle, b.middle), min(a.last, b.last)};
      expect(set.axes == p_.rank && bins.first <= a.first && bins.middle <= a.middle &&
                 bins.last <= a.last,
             "its set ", s.set, " has more bins than planes of ", sides_of(a));
      a = bins;
      for (const int source : {s.source, s.other}) {
        (source < 0 ? p_.spectral : at(source).spectral) = true;
      }
      filters = o_.sets[static_cast<size_t>(s.set)].count;
    } else {
      expect(equal(a, b), "its planes are of ", sides_of(a), " and of ", sides_of(b));
    }
    s.grid = a;
    if (s.set >= 0) a = p_.padded;
    if (accept("shift")) {
      auto& shifts = o_.integers.emplace_back();
      for (const string_view entry : parted(word("shifts"), '/')) {
        const auto places = parted(entry, ',');
        expect(places.size() == static_cast<size_t>(p_.rank), "a shift must have ", p_.rank,
               " places, as in 0,3; got ", quoted(entry));
        int64_t by[3] = {};
        for (int axis = 0; axis < p_.rank; ++axis) {
          by[part(axis)] = integer_of(places[static_cast<size_t>(axis)], 0,
                                      at_part(a, part(axis)) - 1, "a shift");
        }
        shifts.insert(shifts.end(), by, by + 3);
      }
      s.shift = shifts.data();
      s.shifts = static_cast<int64_t>(shifts.size() / 3);
    }
    if (accept("complex")) s.parts = 2;
    expect(p_.unit == 1, "means of products need channels of one number; got ", p_.unit);
    s.outputs.last = product(product(s.pairs, filters, "its means"),
                             (s.shifts > 0 ? s.shifts : 1) * s.parts, "its means");
    s.plane_channels = s.outputs.last;
    expect(accept("at"), "it must go on with at and a channel");
    s.channel = integer_of(word("a channel"), 0, p_.channels - 1, "a channel");
    expect(s.plane_channels <= p_.channels - s.channel, "it writes channel ",
           s.channel + s.plane_channels - 1, ", and there are ", p_.channels);
  }

  int64_t planes_of(int source) { return source < 0 ? 1 : at(source).planes; }

  // --- what is known when all is read ---

  // The number of the transform of a side, whose twiddles are those of a longer one
  int line_of(int64_t side, int64_t base) {
    const auto length = std::find(o_.bases.begin(), o_.bases.end(), base);
    const int of = static_cast<int>(length - o_.bases.begin());
    if (length == o_.bases.end()) o_.bases.push_back(base);
    const auto same = [&](const LinePlan& l) { return l.side == side && l.base == of; };
    const auto found = std::find_if(o_.lines.begin(), o_.lines.end(), same);
    const int index = static_cast<int>(found - o_.lines.begin());
    if (found == o_.lines.end()) {
      o_.lines.push_back({side, of, factorize(static_cast<int>(side))});
    }
    return index;
  }
  void plan_lines(const Grid& grid, int (&line)[3]) {
    for (int part = 0; part < 3; ++part) {
      line[part] = line_of(at_part(grid, part), at_part(p_.padded, part));
    }
  }

  void finish() {
    // every channel is written, and once
    std::vector<std::pair<int64_t, int64_t>> written;
    for (const Step& s : o_.steps) {
      if (s.kind == Kind::pair) written.emplace_back(s.channel, s.plane_channels);
      if (s.kind != Kind::average) continue;
      const Step* source = s.source < 0 ? nullptr : &at(s.source);
      for (int64_t plane = 0; plane < planes_of(s.source); ++plane) {
        written.emplace_back(channel_of(s, source, plane), s.plane_channels);
      }
    }
    std::sort(written.begin(), written.end());
    int64_t next = 0;
    for (const auto& [channel, count] : written) {
      expect(channel >= next, "channel ", channel, " is written twice");
      expect(channel == next, "channel ", next, " is written by no step");
      next = channel + count;
    }
    expect(next == p_.channels, "channel ", next, " is written by no step");
    for (size_t i = 0; i < o_.steps.size(); ++i) {
      o_.steps[i].children = o_.children[i].data();
      o_.steps[i].child_count = static_cast<int>(o_.children[i].size());
    }
    plan_lines(p_.padded, p_.line);
    for (Step& s : o_.steps) {
      plan_lines(s.grid, s.line);
      if (s.kind == Kind::group || s.kind == Kind::pair) p_.gathered = true;
      if (s.kind != Kind::group) continue;
      const int64_t length = o_.sets[static_cast<size_t>(s.set)].points;
      s.group_line = line_of(length, length);
    }
    const auto count = [](const auto& list) { return static_cast<int>(list.size()); };
    p_.sets = o_.sets.data(), p_.set_count = count(o_.sets);
    p_.matrices = o_.matrices.data(), p_.matrix_count = count(o_.matrices);
    p_.steps = o_.steps.data(), p_.step_count = count(o_.steps);
    p_.lines = o_.lines.data(), p_.line_count = count(o_.lines);
    p_.bases = o_.bases.data(), p_.base_count = count(o_.bases);
    p_.children = o_.signal_children.data(), p_.child_count = count(o_.signal_children);
  }
};

}  // namespace

ProgramPointer parse_program(const string& text, string* why) {
  // A call's program is nearly always that of the call before.
  thread_local string last;
  thread_local ProgramPointer found;
  if (found != nullptr && text == last) return found;
  static std::mutex mutex;
  static auto* known = new std::unordered_map<string, ProgramPointer>;
  static size_t characters = 0;  // of all of them: those of strangers may be long
  constexpr size_t most_known = 64, most_characters = 1 << 20;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto it = known->find(text);
    if (it != known->end()) {
      last = text;
      return found = it->second;
    }
  }
  try {
    const std::shared_ptr<Owner> owner = Reader(text).take();
    ProgramPointer made(owner, &owner->program);
    last = text;  // which may fail: then `found` is still the one before
    found = std::move(made);
  } catch (const Refused& refused) {
    *why = refused.why;
    return nullptr;
  }
  const std::lock_guard<std::mutex> lock(mutex);
  characters += text.size();
  if (known->size() >= most_known || characters > most_characters) {
    known->clear();
    characters = text.size();
  }
  if (characters <= most_characters) known->emplace(text, found);
  return found;
}

int64_t most_signals(const Program& p) {
  return most_batch_numbers / (points_of(p.signal) + p.channels * p.unit);
}

int64_t lanes_of(int64_t count) { return count <= 4 ? 4 : count <= 8 ? 8 : round_up(count, 16); }

const char* psi_support_error(const Program& p, int64_t psi_entries, const int64_t* psi_support) {
  for (int i = 0; i < p.set_count; ++i) {
    const Set& set = p.sets[i];
    const int64_t* box = psi_support + set.row;
    int64_t kept = set.lanes;
    bool fits = box[0] >= 0;
    for (int axis = 0; axis < set.axes; ++axis) {
      const int64_t head = box[1 + 2 * axis], tail = box[2 + 2 * axis], side = set.side[axis];
      if (head < 0 || head > tail || tail > side) fits = false;
      // of sides that fit: the product does not overflow
      if (fits) kept *= side - tail + head;
    }
    if (!fits || box[0] > psi_entries - kept) {
      return "psi_support has a box that reaches outside psi";
    }
  }
  return nullptr;
}

const char* support_error(const Program& p, int64_t psi_entries, const int64_t* psi_support,
                          const int64_t* phi_support) {
  const char* error = psi_support_error(p, psi_entries, psi_support);
  if (error != nullptr) return error;
  for (int i = 0; i < p.matrix_count; ++i) {
    const Matrix& m = p.matrices[i];
    const int64_t* band = phi_support + 2 * m.row;
    for (int64_t o = 0; o < m.outputs; ++o, band += 2) {
      if (!is_band(band[0], band[1], m.inputs)) {
        return "phi_support has a row that reaches outside phi";
      }
    }
  }
  return nullptr;
}

int64_t table_numbers(const Program& p, const int64_t* psi_support) {
  int64_t end = 0;
  for (int i = 0; i < p.set_count; ++i) {
    const int64_t* box = psi_support + p.sets[i].row;
    int64_t kept = p.sets[i].lanes;
    for (int axis = 0; axis < p.sets[i].axes; ++axis) {
      kept *= p.sets[i].side[axis] - box[2 + 2 * axis] + box[1 + 2 * axis];
    }
    end = max(end, box[0] + kept);
  }
  return end;
}

}  // namespace scatcuda
