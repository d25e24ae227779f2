// One grey (P5) or colour (P6) image of a PGM or PPM file, as planes of numbers in [0, 1].
#pragma once

#include <cctype>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Netpbm {
  int64_t planes, rows, columns;
  std::vector<float> pixels;  // [planes, rows, columns]

  // Reads a file whose size is known beforehand; everything else is refused.
  Netpbm(const std::string& path, int64_t wanted_rows, int64_t wanted_columns) : path_(path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) refuse("cannot be opened");
    char magic[2] = {};
    file.read(magic, 2);
    if (!file || magic[0] != 'P' || (magic[1] != '5' && magic[1] != '6')) {
      refuse("is no binary PGM or PPM file (P5, P6)");
    }
    planes = magic[1] == '5' ? 1 : 3;
    columns = number(file), rows = number(file);
    const int64_t white = number(file);
    if (rows != wanted_rows || columns != wanted_columns) {
      refuse("has " + std::to_string(rows) + " x " + std::to_string(columns) +
             " pixels; the plan is for " + std::to_string(wanted_rows) + " x " +
             std::to_string(wanted_columns));
    }
    if (white < 1 || white > 65535) refuse("has a largest value that is not in [1, 65535]");

    const size_t width = white < 256 ? 1 : 2, area = static_cast<size_t>(rows * columns);
    const auto count = static_cast<size_t>(planes);
    std::vector<unsigned char> bytes(area * count * width);
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file) refuse("ends within its pixels");
    if (file.get() != EOF) refuse("goes on after its pixels");
    pixels.resize(area * count);
    for (size_t i = 0; i < area * count; ++i) {  // colours side by side, the high byte first
      const int64_t value = width == 1 ? bytes[i] : 256 * bytes[2 * i] + bytes[2 * i + 1];
      if (value > white) refuse("has a pixel beyond its largest value");
      pixels[i % count * area + i / count] = static_cast<float>(value) / static_cast<float>(white);
    }
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw std::runtime_error(path_ + " " + why);
  }

  // The next number of the header, and the one white space behind it
  int64_t number(std::ifstream& file) const {
    int c = file.get();
    while (std::isspace(c) || c == '#') {
      if (c == '#') {
        while (c != '\n' && c != EOF) c = file.get();
      }
      c = file.get();
    }
    if (!std::isdigit(c)) refuse("has a header that is not three numbers");
    int64_t value = 0;
    for (; std::isdigit(c); c = file.get()) {
      value = 10 * value + (c - '0');
      if (value > 1 << 24) refuse("has a number beyond reason in its header");
    }
    if (!std::isspace(c)) refuse("has a header that is not three numbers");
    return value;
  }

  std::string path_;
};
