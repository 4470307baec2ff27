# How everything is compiled: standard, warnings, sanitizers, coverage, compiler cache, linker.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

option(SALVOR_WERROR "treat warnings as errors" OFF)
option(SALVOR_COVERAGE "measure line coverage" OFF)
set(SALVOR_SANITIZE "" CACHE STRING "sanitizers, e.g. address,undefined or thread")

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
                    -Wno-missing-field-initializers)
# Line numbers for traces and profiles. Local variables, which a debugger wants (-g), cost a seventh of the build.
set(SALVOR_DEBUG_INFO -g1 CACHE STRING "how much a debugger is told")
add_compile_options(${SALVOR_DEBUG_INFO})
if(SALVOR_WERROR)
  add_compile_options(-Werror)
endif()
if(SALVOR_SANITIZE)
  add_compile_options(-fsanitize=${SALVOR_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -O1)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Instrumented, g++ 12 warns of what is not there (overflows of std::string, optional times that are not set); the
    # plain build is the one that judges warnings.
    add_compile_options(-w)
  endif()
  add_link_options(-fsanitize=${SALVOR_SANITIZE})
endif()
if(SALVOR_COVERAGE)
  add_compile_options(--coverage)
  if(NOT SALVOR_SANITIZE)
    add_compile_options(-O0)
  endif()
  add_link_options(--coverage)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # The sloppiness and -fpch-preprocess are what ccache asks for where headers are precompiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-fpch-preprocess)
  endif()
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()
