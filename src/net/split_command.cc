#include "net/split_command.h"

#include "base/error.h"

namespace salvor {

std::vector<std::string> split_command(std::string_view command) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = '\0';
  for (size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    const bool escape = c == '\\' && quote != '\'' && i + 1 < command.size();
    if (escape) {
      word += command[++i];
      in_word = true;
    } else if (quote != '\0') {
      if (c == quote) {
        quote = '\0';
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) {
        words.push_back(std::move(word));
        word.clear();
        in_word = false;
      }
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != '\0') {
    throw Error(ErrorCode::kUsage, "the command has a quote that is not closed");
  }
  if (in_word) {
    words.push_back(std::move(word));
  }
  if (words.empty()) {
    throw Error(ErrorCode::kUsage, "the command is empty");
  }
  return words;
}

}  // namespace salvor
