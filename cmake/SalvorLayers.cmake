# salvor_layer(name [COLD] [DEPS lower layers...] [LIBS targets...] [HEADERS targets...] [TEST_LIBS targets...])
#
# Makes the static library salvor_<name> from src/<name>/**.cc, and, from the *_test.cc files that stand
# beside the code, the program <name>_test, registered with ctest one test case a time.
#
# COLD layers decide and report, and move no data: compiled with -O1, a quarter faster than with -O2.
#
# What nearly every file includes is parsed once, for the libraries and for their tests (a quarter of the build).
# A file must still include what it uses: `-DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON` shows what it forgot.
set(SALVOR_COMMON_HEADERS <algorithm> <array> <atomic> <chrono> <condition_variable> <filesystem> <functional> <map>
    <memory> <mutex> <optional> <set> <span> <stop_token> <string> <string_view> <thread> <unordered_map> <variant>
    <vector> <fmt/format.h> "${CMAKE_SOURCE_DIR}/src/base/context.h" "${CMAKE_SOURCE_DIR}/src/base/error.h")

function(salvor_precompile target first)
  if(target STREQUAL first)
    target_precompile_headers(${target} PRIVATE ${SALVOR_COMMON_HEADERS} ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM ${first})
  endif()
endfunction()

function(salvor_layer name)
  cmake_parse_arguments(LAYER "COLD" "" "DEPS;LIBS;HEADERS;TEST_LIBS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/src/${name}/*.cc")
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cc$")
  if(sources)
    add_library(salvor_${name} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(salvor_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(salvor_${name} ${scope} "${CMAKE_SOURCE_DIR}/src")
  foreach(dep ${LAYER_DEPS})
    target_link_libraries(salvor_${name} ${scope} salvor_${dep})
  endforeach()
  foreach(header ${LAYER_HEADERS})
    target_include_directories(salvor_${name} SYSTEM PRIVATE
                               $<TARGET_PROPERTY:${header},INTERFACE_INCLUDE_DIRECTORIES>)
  endforeach()
  if(sources)
    salvor_precompile(salvor_${name} salvor_base)
    if(LAYER_COLD)
      target_compile_options(salvor_${name} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1>)
    endif()
  endif()
  if(LAYER_LIBS)
    list(GET LAYER_LIBS 0 first)
    if(sources AND first STREQUAL "PRIVATE")
      target_link_libraries(salvor_${name} ${LAYER_LIBS})
    else()
      list(REMOVE_ITEM LAYER_LIBS PRIVATE)
      target_link_libraries(salvor_${name} ${scope} ${LAYER_LIBS})
    endif()
  endif()
  if(tests AND SALVOR_TESTS)
    find_package(GTest REQUIRED)
    find_package(rapidcheck REQUIRED)
    include(GoogleTest)
    if(NOT TARGET salvor_test_data)
      add_library(salvor_test_data STATIC "${CMAKE_SOURCE_DIR}/tests/support/test_data.cc")
      target_include_directories(salvor_test_data PRIVATE "${CMAKE_SOURCE_DIR}/tests")
      target_compile_definitions(salvor_test_data PRIVATE SALVOR_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data")
    endif()
    add_executable(${name}_test ${tests})
    target_include_directories(${name}_test PRIVATE "${CMAKE_SOURCE_DIR}/tests" "${CMAKE_SOURCE_DIR}/src")
    target_link_libraries(${name}_test PRIVATE salvor_${name} salvor_test_data ${LAYER_TEST_LIBS}
                          rapidcheck GTest::gtest GTest::gmock GTest::gtest_main)
    salvor_precompile(${name}_test base_test <gmock/gmock.h> <gtest/gtest.h>)
    gtest_discover_tests(${name}_test TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60)
  endif()
endfunction()
