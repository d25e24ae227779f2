# Prints a list of cmake/flags.cmake: cmake -DNAME=SCATCUDA_ISAS -P print.cmake
include(${CMAKE_CURRENT_LIST_DIR}/../../cmake/flags.cmake)
message("${${NAME}}")
