#include "model/path_pattern.h"

#include <chrono>
#include <random>

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/text_file.h"
#include "model/unicode_lower.h"
#include "support/plain_patterns.h"

namespace salvor {
namespace {

bool glob(std::string_view pattern, std::string_view name) {
  const std::optional<Glob> parsed = Glob::parse(pattern);
  EXPECT_TRUE(parsed.has_value()) << pattern;
  return parsed && parsed->matches(name);
}

TEST(Glob, FollowsFilepathMatch) {
  EXPECT_TRUE(glob("abc", "abc"));
  EXPECT_TRUE(glob("*", ""));
  EXPECT_TRUE(glob("*c", "abc"));
  EXPECT_TRUE(glob("a*", "a"));
  EXPECT_TRUE(glob("a*b*c*d*e*", "axbxcxdxe"));
  EXPECT_TRUE(glob("a*b*c*d*e*", "axbxcxdxexxx"));
  EXPECT_TRUE(glob("a*b?c*x", "abxbbxdbxebxczzx"));
  EXPECT_FALSE(glob("a*b?c*x", "abxbbxdbxebxczzy"));
  EXPECT_TRUE(glob("ab[c]", "abc"));
  EXPECT_TRUE(glob("ab[b-d]", "abc"));
  EXPECT_FALSE(glob("ab[e-g]", "abc"));
  EXPECT_FALSE(glob("ab[^c]", "abc"));
  EXPECT_TRUE(glob("ab[^e-g]", "abc"));
  EXPECT_TRUE(glob("a\\*b", "a*b"));
  EXPECT_FALSE(glob("a\\*b", "ab"));
  EXPECT_TRUE(glob("a?b",
                   "a\xe2\x98\xba"
                   "b"));
  EXPECT_TRUE(glob("a[^a]b",
                   "a\xe2\x98\xba"
                   "b"));
  EXPECT_FALSE(glob("a???b",
                    "a\xe2\x98\xba"
                    "b"));
  EXPECT_TRUE(glob("a?b",
                   "a\xff"
                   "b"));
  EXPECT_TRUE(glob("[a-\xce\xb6]*", "\xce\xb1"));
  EXPECT_FALSE(glob("*[a-\xce\xb6]", "A"));
  EXPECT_TRUE(glob("[\\]a]", "]"));
  EXPECT_TRUE(glob("[\\-x]", "-"));
  EXPECT_TRUE(glob("a]", "a]"));
  EXPECT_TRUE(glob("*x", "xxx"));
  EXPECT_TRUE(glob("*.tar.*", "a.tar.gz"));
  EXPECT_FALSE(glob("*.tar.*", "a.tgz"));
  EXPECT_TRUE(glob("**x**", "axb"));
}

TEST(Glob, RefusesWhatGoRefuses) {
  for (const char* pattern : {"[", "[a", "[]a]", "[-]", "[x-]", "[-x]", "a[", "a\\", "[^", "[^bc",
                              "[a-", "[a-b-c]", "[\xff]", "*[", "[]"}) {
    EXPECT_FALSE(Glob::parse(pattern).has_value()) << pattern;
  }
}

struct Row {
  const char* pattern;
  const char* path;
  bool matches;
};

// What restic's manual and its matcher say.
constexpr Row kRows[] = {
    {"*.go", "/foo/bar/test.go", true},
    {"*.go", "/foo/test.go/bar", true},
    {"*.c", "/foo/bar/test.go", false},
    {"foo", "/foo", true},
    {"foo", "/foo/bar/test.go", true},
    {"foo/*", "/foo/bar/test.go", true},
    {"foo/test.*", "/foo/bar/test.go", false},
    {"foo/*/test.*", "/foo/bar/test.go", true},
    {"bar/test.go", "/foo/bar/test.go", true},
    {"/foo/bar", "/foo/bar/test.go", true},
    {"/bar", "/foo/bar", false},
    {"/foo/*/baz", "/foo/bar/baz/x", true},
    {"/foo/*/baz", "/foo/baz", false},
    {"/foo/**/baz", "/foo/baz", true},
    {"/foo/**/baz", "/foo/a/b/c/baz/x", true},
    {"foo/**/bar/**/baz", "/x/foo/1/2/bar/3/baz", true},
    {"foo/**/bar/**/baz", "/x/foo/1/2/baz/3/bar", false},
    {"/**/**/a", "/a", false},
    {"/**/**/a", "/x/a", true},
    {"/**/b/*/**", "/b/c", false},
    {"/**/b/*/**", "/b/c/d", true},
    {"foo/**", "/foo", true},
    {"/foo/**", "/foo/x", true},
    {"**/foo", "/foo", true},
    {"**/foo", "foo", true},
    {"**", "/a", true},
    {"/", "/any/thing", true},
    {"/**", "/any", true},
    {"/*", "/x", true},
    {"/*", "x", false},
    {"sub/", "/a/sub/b", true},
    {"./x", "/a/x", true},
    {"a/../x", "/b/x", true},
    {"a//b", "/a/b", true},
    {"user/.config", "/home/user/.config/x", true},
    {"Bar", "/foo/bar", false},
    {"b[a-z]r", "/foo/bar", true},
    {"[f]oo", "/foo", true},
    {"foo?", "/foo", false},
    {"/a/b/c", "/a/b", false},
    {"b/c", "/a/b", false},
};

TEST(PathPatterns, MatchTable) {
  for (const Row& row : kRows) {
    const PathPatterns patterns(std::vector<std::string>{row.pattern});
    EXPECT_EQ(patterns.match(row.path).matched, row.matches) << row.pattern << " on " << row.path;
    // The walking form agrees.
    const std::string path = row.path;
    const size_t slash = path.rfind('/');
    if (slash != std::string::npos) {
      const PathPatterns::Scope scope = patterns.scope(slash == 0 ? "/" : path.substr(0, slash));
      EXPECT_EQ(patterns.matches(scope, path.substr(slash + 1)), row.matches)
          << row.pattern << " walking to " << row.path;
    }
  }
}

TEST(PathPatterns, NegationTakesBack) {
  const PathPatterns patterns(
      std::vector<std::string>{"*.log", "!important.log", "/keep/important.log"});
  EXPECT_TRUE(patterns.match("/a/x.log").matched);
  EXPECT_FALSE(patterns.match("/a/important.log").matched);
  EXPECT_TRUE(patterns.match("/keep/important.log").matched);
  // Everything under a directory, except one of its files.
  const PathPatterns tree(std::vector<std::string>{"/d/*", "!/d/stay"});
  EXPECT_TRUE(tree.match("/d/go").matched);
  EXPECT_FALSE(tree.match("/d/stay").matched);
  EXPECT_FALSE(tree.match("/d/stay/inner").matched);
  EXPECT_FALSE(tree.match("/d").matched);
}

TEST(PathPatterns, CaseInsensitiveUsesUnicode) {
  const PathPatterns patterns(std::vector<std::string>{"\xc3\x84"
                                                       "BC*"},
                              PathPatterns::Case::kInsensitive);
  EXPECT_TRUE(patterns
                  .match("/x/\xc3\xa4"
                         "bcd")
                  .matched);
  EXPECT_TRUE(patterns
                  .match("/x/\xc3\x84"
                         "bCd")
                  .matched);
  EXPECT_FALSE(patterns.match("/x/abcd").matched);
}

TEST(PathPatterns, ChildMayMatchTellsWhereToDescend) {
  const PathPatterns absolute(std::vector<std::string>{"/foo/bar/baz"});
  EXPECT_TRUE(absolute.match("/foo").child_may_match);
  EXPECT_TRUE(absolute.match("/foo/bar").child_may_match);
  EXPECT_FALSE(absolute.match("/bar").child_may_match);
  EXPECT_FALSE(absolute.match("/foo/other").child_may_match);
  EXPECT_TRUE(absolute.match("/foo/bar/baz/deeper").child_may_match);
  const PathPatterns anywhere(std::vector<std::string>{"bar"});
  EXPECT_TRUE(anywhere.match("/foo").child_may_match);
  const PathPatterns wild(std::vector<std::string>{"/foo/**/baz"});
  EXPECT_TRUE(wild.match("/foo/x/y/z").child_may_match);
  EXPECT_FALSE(wild.match("/bar").child_may_match);
}

TEST(PathPatterns, MalformedPatternsAreAllNamed) {
  try {
    PathPatterns patterns(std::vector<std::string>{"good", "[", "also[bad"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    EXPECT_NE(error.message().find("\"[\""), std::string::npos);
    EXPECT_NE(error.message().find("also[bad"), std::string::npos);
  }
}

TEST(PathPatterns, AgreesWithThePlainDefinition) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::vector<std::string> words{"a", "b", "*", "**", "a*", "[ab]", "?"};
  const auto pick = [&](size_t count) { return random() % count; };
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::string> list;
    std::vector<std::vector<std::string>> parts;
    std::vector<bool> absolute;
    std::vector<bool> negated;
    for (size_t i = 1 + pick(3); i-- > 0;) {
      parts.emplace_back();
      absolute.push_back(pick(2) == 0);
      negated.push_back(pick(4) == 0);
      std::string text;
      for (size_t j = 1 + pick(4); j-- > 0;) {
        parts.back().push_back(words[pick(words.size())]);
        text += (text.empty() && !absolute.back() ? "" : "/") + parts.back().back();
      }
      if (absolute.back()) {
        parts.back().insert(parts.back().begin(), "/");
      }
      list.push_back((negated.back() ? "!" : "") + text);
    }
    const PathPatterns patterns(list);
    std::vector<std::string> path{"/"};
    std::string text;
    PathPatterns::Scope scope = patterns.scope("/");
    for (size_t j = 1 + pick(5); j-- > 0;) {
      path.push_back(std::string(1, "abc"[pick(3)]));
      const bool walked = patterns.matches(scope, path.back());
      scope = patterns.enter(scope, path.back());
      text += "/" + path.back();
      bool expected = false;
      for (size_t i = 0; i < parts.size(); ++i) {
        const bool one = test::plain_match(parts[i], path);
        expected = negated[i] ? expected && !one : expected || one;
      }
      ASSERT_EQ(patterns.match(text).matched, expected)
          << ::testing::PrintToString(list) << " " << text;
      ASSERT_EQ(walked, expected) << ::testing::PrintToString(list) << " walking " << text;
    }
  }
}

TEST(PathPatterns, HundredThousandNamesInMilliseconds) {
  std::vector<std::string> list;
  for (int i = 0; i < 8; ++i) {
    list.push_back("*.ext" + std::to_string(i));
    list.push_back("literal" + std::to_string(i));
  }
  list.insert(list.end(), {"/home/*/cache", "a/b/**/c", "tmp*", "core.[0-9]*"});
  const PathPatterns patterns(list);
  const PathPatterns::Scope scope = patterns.scope("/home/me/project/src");
  std::vector<std::string> names;
  for (int i = 0; i < 1000; ++i) {
    names.push_back("some-file-" + std::to_string(i) + ".cc");
  }
  const auto start = std::chrono::steady_clock::now();
  size_t matched = 0;
  for (int round = 0; round < 100; ++round) {
    for (const std::string& name : names) {
      matched += patterns.matches(scope, name) ? 1 : 0;
    }
  }
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(matched, 0U);
  // A generous bound for unoptimised builds with sanitizers; release takes about 5 ms.
  EXPECT_LT(took, std::chrono::seconds(2));
  RecordProperty(
      "microseconds",
      std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
}

TEST(TextFile, PatternFileLines) {
  const auto environment = [](std::string_view name) {
    return name == "HOME" ? std::string("/home/me") : std::string();
  };
  const std::vector<std::string> expected{"*.go", "/home/me/x", "/home/me/y", "cost$5",
                                          "",     "$",          "{x"};
  EXPECT_EQ(parse_pattern_file(
                "\xEF\xBB\xBF# comment\n\n  *.go \t\r\n$HOME/x\n${HOME}/y\n  # more\ncost$$5\n"
                "$UNSET\n$\n${{x",
                environment),
            expected);
}

TEST(TextFile, ExpandFollowsGo) {
  const auto environment = [](std::string_view name) { return "<" + std::string(name) + ">"; };
  EXPECT_EQ(expand_variables("a$b.c", environment), "a<b>.c");
  EXPECT_EQ(expand_variables("${}x", environment), "x");
  EXPECT_EQ(expand_variables("$1x", environment), "<1>x");
  EXPECT_EQ(expand_variables("100%$", environment), "100%$");
  EXPECT_EQ(expand_variables("$.x", environment), "$.x");
}

TEST(TextFile, Utf16IsUnderstood) {
  EXPECT_EQ(decode_text(std::string("\xFF\xFE"
                                    "a\0\xE4\0",
                                    6)),
            "a\xC3\xA4");
  EXPECT_EQ(decode_text(std::string("\xFE\xFF\xD8\x3D\xDE\x00", 6)), "\xF0\x9F\x98\x80");
}

TEST(TextFile, CleanPath) {
  EXPECT_EQ(clean_path(""), ".");
  EXPECT_EQ(clean_path("/"), "/");
  EXPECT_EQ(clean_path("/.."), "/");
  EXPECT_EQ(clean_path("/a//b/../c/"), "/a/c");
  EXPECT_EQ(clean_path("./x"), "x");
  EXPECT_EQ(clean_path("a/../../b"), "../b");
  EXPECT_EQ(clean_path("../.."), "../..");
  EXPECT_EQ(clean_path("a/.."), ".");
}

TEST(UnicodeLower, FollowsGo) {
  EXPECT_EQ(to_lower("AbC\xC3\x84\xCE\xA9"), "abc\xC3\xA4\xCF\x89");
  EXPECT_EQ(to_lower("\xff"), "\xEF\xBF\xBD");
  EXPECT_EQ(to_lower("\xC4\xB0"), "i");  // dotted capital I: the simple mapping
}

}  // namespace
}  // namespace salvor
