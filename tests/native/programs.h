// Programs for the programs of this folder: texts from a file, one a line (tests/programs.py writes
// them), what becomes of one under mutation, and tables that fit.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "random.h"

inline std::vector<std::string> texts_in(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> texts;
  for (std::string line; std::getline(file, line);) texts.push_back(line);
  REQUIRE(!texts.empty());
  return texts;
}

inline std::vector<std::string> parted(const std::string& text, char at) {
  std::vector<std::string> pieces(1);
  for (const char c : text) {
    if (c == at) {
      pieces.emplace_back();
    } else {
      pieces.back() += c;
    }
  }
  return pieces;
}

// A text with one thing changed: a number, a word, a statement, a character, or its end
inline std::string mutated(Random& random, std::string text) {
  const auto any = [&](size_t n) {
    return static_cast<size_t>(random.below(static_cast<int64_t>(n)));
  };
  if (text.empty()) return ";";
  std::vector<std::string> statements = parted(text, ';');
  const auto joined = [&] {
    std::string all = statements[0];
    for (size_t i = 1; i < statements.size(); ++i) all += ';' + statements[i];
    return all;
  };
  const size_t a = any(statements.size()), b = any(statements.size());
  switch (random.below(9)) {
    case 0:
      statements.insert(statements.begin() + static_cast<std::ptrdiff_t>(a), statements[b]);
      return joined();
    case 1:
      std::swap(statements[a], statements[b]);
      return joined();
    case 2:
      if (statements.size() == 1) return "";
      statements.erase(statements.begin() + static_cast<std::ptrdiff_t>(a));
      return joined();
    case 3: {  // a word of another statement
      const auto words = parted(statements[b], ' ');
      auto ours = parted(statements[a], ' ');
      ours[any(ours.size())] = words[any(words.size())];
      statements[a] = ours[0];
      for (size_t i = 1; i < ours.size(); ++i) statements[a] += ' ' + ours[i];
      return joined();
    }
    case 4: {
      constexpr char letters[] = "0123456789 ;:,+-~/<x.rszpSi\0\xff";
      const char c = letters[any(sizeof letters)];
      if (random.one_in(2)) return text.insert(any(text.size() + 1), 1, c);
      text[any(text.size())] = c;
      return text;
    }
    case 5:
      return text.substr(0, any(text.size()));
    default: {  // a number
      size_t first = text.find_first_of("0123456789", any(text.size()));
      if (first == std::string::npos) return text;
      while (first > 0 && text[first - 1] >= '0' && text[first - 1] <= '9') --first;
      const size_t end = std::min(text.find_first_not_of("0123456789", first), text.size());
      const int64_t value = std::min<int64_t>(std::strtoll(&text[first], nullptr, 10), 1LL << 60);
      const int64_t other = random.one_in(3)   ? random.hostile()
                            : random.one_in(2) ? random.below(99)
                                               : value + random.below(5) - 2;
      return text.replace(first, end - first, std::to_string(other));
    }
  }
}

// The tables that a text tells of, which need not be a program's: random boxes and bands, and how
// many numbers they address. Read without any check, which is the library's business.
struct Tables {
  std::vector<int64_t> psi_support, phi_support;
  int64_t psi_entries = 0, phi_entries = 0;
  bool sound = true;  // small, and sizes of something
  int64_t most_filters = 0;

  Tables(Random& random, const std::string& text) {
    constexpr int64_t most = 1 << 18;
    for (const std::string& statement : parted(text, ';')) {
      const auto words = parted(statement, ' ');
      if (words[0] != "psi" && words[0] != "phi") continue;
      std::vector<int64_t> numbers;
      for (size_t i = 1; i < words.size(); ++i) {
        numbers.push_back(std::strtoll(words[i].c_str() + (words[i][0] == '/'), nullptr, 10));
        if (numbers.back() < 1 || numbers.back() > 1 << 24) sound = false;
      }
      if (numbers.size() < 2) sound = false;
      if (!sound) return;
      if (words[0] == "psi") {
        const int64_t count = numbers[0];
        most_filters = std::max(most_filters, count);
        int64_t kept = count <= 4 ? 4 : count <= 8 ? 8 : (count + 15) / 16 * 16;
        psi_support.push_back(psi_entries);
        const size_t gaps = psi_support.size();
        for (size_t axis = 1; axis < numbers.size(); ++axis) {
          const int64_t tail = random.below(numbers[axis] + 1), head = random.below(tail + 1);
          psi_support.insert(psi_support.end(), {head, tail});
          kept = std::min(kept, most + 1) * (numbers[axis] - tail + head);
        }
        if (kept > most) {  // nothing of it
          psi_support[gaps] = 0, psi_support[gaps + 1] = numbers[1];
          kept = 0;
        }
        psi_entries += kept;
      } else {
        const int64_t outputs = numbers[0], inputs = numbers[1];
        const int64_t entries = numbers.size() > 2 ? inputs + numbers[2] * (outputs - 1)  // turned
                                                   : inputs * outputs;
        if (phi_entries + entries > most) {
          sound = false;
          return;
        }
        for (int64_t o = 0; o < outputs; ++o) {
          const int64_t low = random.below(2 * inputs + 1) - inputs;
          phi_support.insert(phi_support.end(), {low, low + random.below(inputs + 1)});
        }
        phi_entries += entries;
      }
    }
  }
};
