// A NumPy file of float32, written piece by piece to a temporary name and renamed when whole.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

class Npy {
 public:
  Npy(const std::string& path, const std::vector<int64_t>& shape)
      : path_(path), file_(path + ".tmp", std::ios::binary) {
    std::string sizes;
    for (const int64_t size : shape) sizes += std::to_string(size) + ", ";
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + sizes + "), }";
    header.append(63 - (10 + header.size()) % 64, ' ');
    header += '\n';
    std::string start("\x93NUMPY\x01\x00", 8);  // version 1.0
    start += static_cast<char>(header.size() & 0xff);
    start += static_cast<char>(header.size() >> 8);
    file_ << start << header;
    check();
  }
  ~Npy() {
    std::error_code ignored;
    if (!whole_) std::filesystem::remove(path_ + ".tmp", ignored);
  }
  Npy(const Npy&) = delete;
  Npy& operator=(const Npy&) = delete;

  void write(const float* values, size_t count) {
    file_.write(reinterpret_cast<const char*>(values),
                static_cast<std::streamsize>(count * sizeof(float)));
    check();
  }
  void close() {
    file_.close();
    check();
    std::filesystem::rename(path_ + ".tmp", path_);
    whole_ = true;
  }

 private:
  void check() const {
    if (!file_) throw std::runtime_error(path_ + " cannot be written");
  }

  std::string path_;
  std::ofstream file_;
  bool whole_ = false;
};
