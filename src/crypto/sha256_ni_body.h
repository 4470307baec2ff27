// No include guard: included once for every target in sha256_kernels.cc, which says why. Expects
// SALVOR_SHA_NI_TARGET, and stands inside a namespace of its own.

#define SALVOR_SHA_NI __attribute__((target(SALVOR_SHA_NI_TARGET)))
#define SALVOR_SHA_NI_INLINE SALVOR_SHA_NI __attribute__((always_inline)) inline

// The working variables in the order that the instructions want, and a window of 16 schedule words.
struct Stream {
  __m128i abef;
  __m128i cdgh;
  __m128i saved_abef;
  __m128i saved_cdgh;
  __m128i words[4];
};

SALVOR_SHA_NI_INLINE void load_state(Stream& s, const uint32_t* state) {
  const __m128i abcd = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state));
  const __m128i efgh = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4));
  const __m128i cdab = _mm_shuffle_epi32(abcd, 0xb1);
  const __m128i hgfe = _mm_shuffle_epi32(efgh, 0x1b);
  s.abef = _mm_alignr_epi8(cdab, hgfe, 8);
  s.cdgh = _mm_blend_epi16(hgfe, cdab, 0xf0);
}

SALVOR_SHA_NI_INLINE void store_state(const Stream& s, uint32_t* state) {
  const __m128i feba = _mm_shuffle_epi32(s.abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(s.cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

// Rounds 4 * kGroup to 4 * kGroup + 3. The words of the next groups are worked on between the two
// halves, where the second half waits for the first anyway: this order is worth 15 % with three
// messages.
template <int kGroup>
SALVOR_SHA_NI_INLINE void four_rounds(Stream& s, const std::byte* block) {
  __m128i& previous = s.words[(kGroup + 3) % 4];
  __m128i& now = s.words[kGroup % 4];
  __m128i& next = s.words[(kGroup + 1) % 4];
  if constexpr (kGroup < 4) {
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    now = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + 16 * kGroup)),
                           big_endian);
  }
  const __m128i sum =
      _mm_add_epi32(now, _mm_load_si128(reinterpret_cast<const __m128i*>(kRound + 4 * kGroup)));
  s.cdgh = _mm_sha256rnds2_epu32(s.cdgh, s.abef, sum);
  if constexpr (kGroup >= 3 && kGroup < 15) {
    next = _mm_sha256msg2_epu32(_mm_add_epi32(next, _mm_alignr_epi8(now, previous, 4)), now);
  }
  if constexpr (kGroup >= 1 && kGroup < 13) {
    previous = _mm_sha256msg1_epu32(previous, now);
  }
  s.abef = _mm_sha256rnds2_epu32(s.abef, s.cdgh, _mm_shuffle_epi32(sum, 0x0e));
}

// All rounds of one block of the first `kLanes` streams. Named variables and constant indices only:
// with an array of streams GCC 12 goes through memory and loses 10 %.
template <int kLanes, int kGroup>
SALVOR_SHA_NI_INLINE void rounds_from(Stream& a, Stream& b, Stream& c, Stream& d,
                                      const Sha256Lane* lanes) {
  four_rounds<kGroup>(a, lanes[0].data);
  if constexpr (kLanes > 1) {
    four_rounds<kGroup>(b, lanes[1].data);
  }
  if constexpr (kLanes > 2) {
    four_rounds<kGroup>(c, lanes[2].data);
  }
  if constexpr (kLanes > 3) {
    four_rounds<kGroup>(d, lanes[3].data);
  }
  if constexpr (kGroup < 15) {
    rounds_from<kLanes, kGroup + 1>(a, b, c, d, lanes);
  }
}

SALVOR_SHA_NI_INLINE void begin_block(Stream& s) {
  s.saved_abef = s.abef;
  s.saved_cdgh = s.cdgh;
}

SALVOR_SHA_NI_INLINE void end_block(Stream& s) {
  s.abef = _mm_add_epi32(s.abef, s.saved_abef);
  s.cdgh = _mm_add_epi32(s.cdgh, s.saved_cdgh);
}

template <int kLanes>
SALVOR_SHA_NI void compress(Sha256Lane* out, size_t blocks) {
  Sha256Lane lanes[kLanes];
  std::copy_n(out, kLanes, lanes);
  Stream a{};
  Stream b{};
  Stream c{};
  Stream d{};
  load_state(a, lanes[0].state);
  if constexpr (kLanes > 1) {
    load_state(b, lanes[1].state);
  }
  if constexpr (kLanes > 2) {
    load_state(c, lanes[2].state);
  }
  if constexpr (kLanes > 3) {
    load_state(d, lanes[3].state);
  }
  for (; blocks > 0; --blocks) {
    begin_block(a);
    begin_block(b);
    begin_block(c);
    begin_block(d);
    rounds_from<kLanes, 0>(a, b, c, d, lanes);
    end_block(a);
    end_block(b);
    end_block(c);
    end_block(d);
    for (Sha256Lane& lane : lanes) {
      lane.data += kSha256Block;
    }
  }
  store_state(a, lanes[0].state);
  if constexpr (kLanes > 1) {
    store_state(b, lanes[1].state);
  }
  if constexpr (kLanes > 2) {
    store_state(c, lanes[2].state);
  }
  if constexpr (kLanes > 3) {
    store_state(d, lanes[3].state);
  }
  std::copy_n(lanes, kLanes, out);
}

#undef SALVOR_SHA_NI
#undef SALVOR_SHA_NI_INLINE
#undef SALVOR_SHA_NI_TARGET
