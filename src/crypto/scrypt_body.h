// No include guard: included once for every target and width in scrypt_kernels.cc, which says why.
// Expects SALVOR_SCRYPT_TARGET (an attribute or nothing) and SALVOR_SCRYPT_WIDTH (128-bit parts of
// a register: 1, 2 or 4) and stands inside a namespace of its own.

#define SALVOR_INLINE SALVOR_SCRYPT_TARGET __attribute__((always_inline)) inline

constexpr size_t kWidth = SALVOR_SCRYPT_WIDTH;
typedef uint32_t Vec __attribute__((vector_size(16 * kWidth)));

#if SALVOR_SCRYPT_WIDTH == 1
#define SALVOR_ROTATE_WORDS(x, a, b, c, d) __builtin_shufflevector(x, x, a, b, c, d)
#elif SALVOR_SCRYPT_WIDTH == 2
#define SALVOR_ROTATE_WORDS(x, a, b, c, d) \
  __builtin_shufflevector(x, x, a, b, c, d, 4 + a, 4 + b, 4 + c, 4 + d)
#else
#define SALVOR_ROTATE_WORDS(x, a, b, c, d)                                                   \
  __builtin_shufflevector(x, x, a, b, c, d, 4 + a, 4 + b, 4 + c, 4 + d, 8 + a, 8 + b, 8 + c, \
                          8 + d, 12 + a, 12 + b, 12 + c, 12 + d)
#endif

// One 64-byte Salsa20 block of every lane: row k holds the k-th diagonal of each lane's matrix.
struct Block {
  Vec row[4];
};

SALVOR_INLINE void xor_into(Block& a, const Block& b) {
  a.row[0] ^= b.row[0];
  a.row[1] ^= b.row[1];
  a.row[2] ^= b.row[2];
  a.row[3] ^= b.row[3];
}

// target ^ rotate_left(a + b, bits), where the chain's latency is what counts. SALVOR_SCRYPT_XOR3
// is one cycle for all three; vprold would be two cycles on Zen 4, so shifts and XOR3 (1 + 1) are
// faster than it and an XOR (2 + 1).
#ifdef SALVOR_SCRYPT_XOR3
#define SALVOR_STEP(target, a, b, bits)                                           \
  do {                                                                            \
    const Vec sum = (a) + (b);                                                    \
    (target) = (Vec)SALVOR_SCRYPT_XOR3((Native)(target), (Native)(sum << (bits)), \
                                       (Native)(sum >> (32 - (bits))), 0x96);     \
  } while (false)
#else
#define SALVOR_STEP(target, a, b, bits)                   \
  do {                                                    \
    const Vec sum = (a) + (b);                            \
    (target) ^= (sum << (bits)) | (sum >> (32 - (bits))); \
  } while (false)
#endif

SALVOR_INLINE void double_round(Block& x) {
  SALVOR_STEP(x.row[1], x.row[0], x.row[3], 7);
  SALVOR_STEP(x.row[2], x.row[1], x.row[0], 9);
  SALVOR_STEP(x.row[3], x.row[2], x.row[1], 13);
  SALVOR_STEP(x.row[0], x.row[3], x.row[2], 18);
  x.row[1] = SALVOR_ROTATE_WORDS(x.row[1], 3, 0, 1, 2);
  x.row[2] = SALVOR_ROTATE_WORDS(x.row[2], 2, 3, 0, 1);
  x.row[3] = SALVOR_ROTATE_WORDS(x.row[3], 1, 2, 3, 0);
  SALVOR_STEP(x.row[3], x.row[0], x.row[1], 7);
  SALVOR_STEP(x.row[2], x.row[3], x.row[0], 9);
  SALVOR_STEP(x.row[1], x.row[2], x.row[3], 13);
  SALVOR_STEP(x.row[0], x.row[1], x.row[2], 18);
  x.row[1] = SALVOR_ROTATE_WORDS(x.row[1], 1, 2, 3, 0);
  x.row[2] = SALVOR_ROTATE_WORDS(x.row[2], 2, 3, 0, 1);
  x.row[3] = SALVOR_ROTATE_WORDS(x.row[3], 3, 0, 1, 2);
}

SALVOR_INLINE void salsa20_8(Block& x) {
  const Block start = x;
  double_round(x);
  double_round(x);
  double_round(x);
  double_round(x);
  x.row[0] += start.row[0];
  x.row[1] += start.row[1];
  x.row[2] += start.row[2];
  x.row[3] += start.row[3];
}

// Rows (one diagonal of all lanes) to columns (64 bytes of one lane) and back: it is its own
// inverse. In the tables each lane's bytes lie together, so that a look-up costs whole cache lines,
// and no others'.
SALVOR_INLINE void transpose([[maybe_unused]] Block& x) {
#if SALVOR_SCRYPT_WIDTH == 2
#define SALVOR_LOW(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define SALVOR_HIGH(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
  const Block from = x;
  x.row[0] = SALVOR_LOW(from.row[0], from.row[1]);
  x.row[1] = SALVOR_HIGH(from.row[0], from.row[1]);
  x.row[2] = SALVOR_LOW(from.row[2], from.row[3]);
  x.row[3] = SALVOR_HIGH(from.row[2], from.row[3]);
#undef SALVOR_LOW
#undef SALVOR_HIGH
#elif SALVOR_SCRYPT_WIDTH == 4
#define SALVOR_EVEN(a, b) \
  __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define SALVOR_ODD(a, b) \
  __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)
  const Vec ab_even = SALVOR_EVEN(x.row[0], x.row[1]);  // a0 a2 b0 b2
  const Vec ab_odd = SALVOR_ODD(x.row[0], x.row[1]);    // a1 a3 b1 b3
  const Vec cd_even = SALVOR_EVEN(x.row[2], x.row[3]);
  const Vec cd_odd = SALVOR_ODD(x.row[2], x.row[3]);
  x.row[0] = SALVOR_EVEN(ab_even, cd_even);  // a0 b0 c0 d0
  x.row[1] = SALVOR_EVEN(ab_odd, cd_odd);    // a1 b1 c1 d1
  x.row[2] = SALVOR_ODD(ab_even, cd_even);   // a2 b2 c2 d2
  x.row[3] = SALVOR_ODD(ab_odd, cd_odd);     // a3 b3 c3 d3
#undef SALVOR_EVEN
#undef SALVOR_ODD
#endif
}

// After `transpose`, row w + kWidth * k is the k-th part of lane w.
SALVOR_INLINE void scatter(Block x, std::byte* const* lanes, size_t block) {
  transpose(x);
  for (size_t row = 0; row < 4; ++row) {
    std::byte* to = lanes[row % kWidth] + 64 * block + row / kWidth * sizeof(Vec);
    *reinterpret_cast<Vec*>(to) = x.row[row];
  }
}

SALVOR_INLINE Block gather(std::byte* const* lanes, size_t block) {
  Block x;
  for (size_t row = 0; row < 4; ++row) {
    const std::byte* from = lanes[row % kWidth] + 64 * block + row / kWidth * sizeof(Vec);
    x.row[row] = *reinterpret_cast<const Vec*>(from);
  }
  transpose(x);
  return x;
}

// Word 5 i mod 16 of a Salsa20 block is word i of the diagonals.
SALVOR_INLINE void load(Block* x, size_t blocks, const ScryptLane* lanes) {
  for (size_t b = 0; b < blocks; ++b) {
    uint32_t words[16 * kWidth];
    for (size_t i = 0; i < 16; ++i) {
      for (size_t w = 0; w < kWidth; ++w) {
        words[(i / 4 * kWidth + w) * 4 + i % 4] =
            load_u32le(lanes[w].block + 64 * b + 4 * (5 * i % 16));
      }
    }
    std::memcpy(x + b, words, sizeof words);
  }
}

SALVOR_INLINE void store_lane(const Block* x, size_t blocks, size_t lane, std::byte* to) {
  for (size_t b = 0; b < blocks; ++b) {
    uint32_t words[16 * kWidth];
    std::memcpy(words, x + b, sizeof words);
    for (size_t i = 0; i < 16; ++i) {
      store_u32le(to + 64 * b + 4 * (5 * i % 16), words[(i / 4 * kWidth + lane) * 4 + i % 4]);
    }
  }
}

// BlockMix; block i of 2r goes to place i / 2, the odd ones behind the even ones. `input(i)` gives
// block i and is called once for i = 2r - 1 before all others.
template <class Input>
SALVOR_INLINE void block_mix(Block* out, size_t r, const Input& input) {
  Block x = input.peek(2 * r - 1);
  for (size_t i = 0; i < 2 * r; ++i) {
    xor_into(x, input.take(i));
    salsa20_8(x);
    out[i / 2 + (i % 2) * r] = x;
  }
}

// First phase: the state itself, which goes to the table if it is one of those kept.
struct FillInput {
  const Block* state;
  std::byte* const* tables;  // null: not kept

  SALVOR_INLINE Block peek(size_t i) const { return state[i]; }
  SALVOR_INLINE Block take(size_t i) const {
    const Block x = state[i];
    if (tables != nullptr) {
      scatter(x, tables, i);
    }
    return x;
  }
};

// Second phase: see mix(). All masks are per lane, all ones or all zeros.
struct LookUpInput {
  const Block* last;          // what the step before gave
  Block* parked;              // the states that wait while an entry is worked out
  std::byte* const* entries;  // in the tables
  Vec use_last;
  Vec use_parked;
  Vec use_entry;
  Vec park;

  SALVOR_INLINE Block peek(size_t i) const {
    Block x = gather(entries, i);
    for (size_t row = 0; row < 4; ++row) {
      x.row[row] = (x.row[row] & use_entry) ^ (last[i].row[row] & use_last) ^
                   (parked[i].row[row] & use_parked);
    }
    return x;
  }
  SALVOR_INLINE Block take(size_t i) const {
    for (size_t w = 0; w < kWidth; ++w) {
      __builtin_prefetch(entries[w] + 64 * (i + kPrefetchBlocks));
    }
    const Block x = peek(i);
    for (size_t row = 0; row < 4; ++row) {
      parked[i].row[row] = (last[i].row[row] & park) | (parked[i].row[row] & ~park);
    }
    return x;
  }
};

SALVOR_INLINE void set_lane(Vec& mask, size_t lane) {
  for (size_t i = 4 * lane; i < 4 * lane + 4; ++i) {
    mask[i] = ~uint32_t{0};
  }
}

// Where a lane is in the second phase.
struct Walk {
  uint32_t mixed = 0;        // steps of the algorithm that are done
  uint32_t to_work_out = 0;  // BlockMix calls until the entry that it needs is there
  bool working_out = false;
  bool finished = false;
};

SALVOR_SCRYPT_TARGET void mix(const ScryptLane* lanes, const ScryptShape& shape,
                              std::byte* scratch) {
  const size_t blocks = size_t{2} * shape.r;
  const size_t entry_bytes = 64 * blocks;
  auto* x = reinterpret_cast<Block*>(scratch);
  Block* y = x + blocks;
  Block* parked = y + blocks;
  std::byte* at[kWidth];
  for (size_t w = 0; w < kWidth; ++w) {
    at[w] = lanes[w].table;
  }
  load(x, blocks, lanes);
  for (uint32_t i = 0; i < shape.n; ++i) {
    if (i % shape.stride == 0) {
      block_mix(y, shape.r, FillInput{x, at});
      for (std::byte*& place : at) {
        place += entry_bytes;
      }
    } else {
      block_mix(y, shape.r, FillInput{x, nullptr});
    }
    std::swap(x, y);
  }
  Walk walks[kWidth];
  for (size_t finished = 0;;) {
    LookUpInput input{x, parked, at, {}, {}, {}, {}};
    for (size_t w = 0; w < kWidth; ++w) {
      Walk& walk = walks[w];
      at[w] = lanes[w].table;
      if (walk.finished) {
        continue;
      }
      if (walk.working_out) {
        set_lane(input.use_last, w);
        if (walk.to_work_out > 0) {
          --walk.to_work_out;
        } else {
          set_lane(input.use_parked, w);
          walk.working_out = false;
          ++walk.mixed;
        }
      } else if (walk.mixed == shape.n) {
        store_lane(x, blocks, w, lanes[w].block);
        walk.finished = true;
        ++finished;
      } else {
        const auto* state = reinterpret_cast<const std::byte*>(x + blocks - 1);
        const uint32_t index = load_u32le(state + 16 * w) & (shape.n - 1);
        at[w] += index / shape.stride * entry_bytes;
        set_lane(input.use_entry, w);
        if (index % shape.stride == 0) {
          set_lane(input.use_last, w);
          ++walk.mixed;
        } else {
          set_lane(input.park, w);
          walk.working_out = true;
          walk.to_work_out = index % shape.stride - 1;
        }
      }
    }
    if (finished == kWidth) {
      return;
    }
    block_mix(y, shape.r, input);
    std::swap(x, y);
  }
}

#undef SALVOR_INLINE
#undef SALVOR_ROTATE_WORDS
#undef SALVOR_STEP
#undef SALVOR_SCRYPT_XOR3
#undef SALVOR_SCRYPT_TARGET
#undef SALVOR_SCRYPT_WIDTH
