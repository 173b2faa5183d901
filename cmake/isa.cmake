# Instruction-set tiers: the only place with -m flags.
#
# pyseq_add_tiers(<out> <sources...>) compiles the sources once for each tier into an object library
# pyseq_<tier>, and returns their names. A tier is a namespace (PYSEQ_TIER), a vector width in bytes
# and the flags that allow it. To add one: a line below, and its detection in runtime/cpu.cpp.
# PYSEQ_BFLOAT16_SOURCES go into the tiers that can multiply bfloat16. The tier amx is avx512 with some kernels more,
# PYSEQ_TILE_SOURCES; PYSEQ_EMULATE_TILES adds a copy of them over emulated tile registers (simd/tiles.h).
include(CheckCXXCompilerFlag)

# No -ffast-math: NaN, inf and the order of sums are promises. Contraction is off because every fused
# multiply-add is written as fma(): two instances of one template must round alike. Vector polynomials
# need -fno-trapping-math. -O2: the loops that matter are vectors already, and it compiles a quarter faster.
set(PYSEQ_KERNEL_FLAGS -O2 -fno-trapping-math -fno-math-errno -ffp-contract=off -fno-exceptions -fno-rtti)

function(pyseq_add_tier name vector_bytes)
  set(target pyseq_${name})
  add_library(${target} OBJECT ${PYSEQ_TIER_SOURCES})
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/src/cpp)
  target_compile_definitions(${target} PRIVATE PYSEQ_TIER=${name} PYSEQ_VECTOR_BYTES=${vector_bytes})
  target_compile_options(${target} PRIVATE ${PYSEQ_KERNEL_FLAGS} ${ARGN})
  target_link_libraries(${target} PRIVATE pyseq_warnings)
  set(PYSEQ_TIERS ${PYSEQ_TIERS} ${target} PARENT_SCOPE)
  target_compile_definitions(pyseq_runtime PRIVATE PYSEQ_HAS_${name})
endfunction()

function(pyseq_add_tile_tier name)
  set(PYSEQ_TIER_SOURCES ${PYSEQ_TILE_SOURCES})
  pyseq_add_tier(${name} 64 ${ARGN} -mavx512bf16)
  set(PYSEQ_TIERS ${PYSEQ_TIERS} PARENT_SCOPE)
endfunction()

function(pyseq_add_tiers out)
  set(PYSEQ_TIER_SOURCES ${ARGN})
  set(PYSEQ_TIERS "")
  pyseq_add_tier(baseline 16)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(v3 -mavx2 -mfma -mbmi -mbmi2 -mlzcnt -mpopcnt -mf16c -mmovbe)
    set(v4 ${v3} -mavx512f -mavx512bw -mavx512cd -mavx512dq -mavx512vl -mprefer-vector-width=512)
    pyseq_add_tier(avx2 32 ${v3})
    check_cxx_compiler_flag("-mavx512f -mavx512vl -mprefer-vector-width=512" PYSEQ_COMPILER_HAS_AVX512)
    if(PYSEQ_COMPILER_HAS_AVX512)
      pyseq_add_tier(avx512 64 ${v4})
      # One source more, with one instruction more: dispatch asks for it apart from the tier.
      check_cxx_compiler_flag("-mavx512f -mavx512bf16" PYSEQ_COMPILER_HAS_AVX512_BF16)
      if(PYSEQ_COMPILER_HAS_AVX512_BF16)
        set_source_files_properties(${PYSEQ_BFLOAT16_SOURCES} PROPERTIES COMPILE_OPTIONS -mavx512bf16)
        target_sources(pyseq_avx512 PRIVATE ${PYSEQ_BFLOAT16_SOURCES})
        target_compile_definitions(pyseq_avx512 PRIVATE PYSEQ_HAS_BFLOAT16)
      endif()
    endif()
    check_cxx_compiler_flag("-mavx512bf16 -mamx-tile -mamx-bf16" PYSEQ_COMPILER_HAS_AMX)
    if(PYSEQ_COMPILER_HAS_AMX)
      pyseq_add_tile_tier(amx ${v4} -mamx-tile -mamx-bf16)
    endif()
    if(PYSEQ_EMULATE_TILES)
      pyseq_add_tile_tier(emulated_amx ${v4})
      target_compile_definitions(pyseq_emulated_amx PRIVATE PYSEQ_EMULATED_TILES)
    endif()
  endif()
  set(${out} ${PYSEQ_TIERS} PARENT_SCOPE)
endfunction()
