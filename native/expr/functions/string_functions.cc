// Text. Positions and lengths count code points.
#include <arrow/api.h>
#include <arrow/compute/api.h>

#include "expr/column_builder.h"
#include "expr/functions/function.h"
#include "expr/like_prefix.h"

namespace marble::expr {

using arrow::Datum;
using arrow::Type;

namespace {

Status CheckStrings(const Expression& call, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (call.args[i]->type->id() != Type::STRING) return TypeNotSupported(call);
  }
  return Status::OK();
}

template <const char* kName>
Result<Kernel> MakeUnary(const Expression& call, const Clock*) {
  MARBLE_RETURN_NOT_OK(CheckStrings(call, 1));
  return Kernel([](const std::vector<Datum>& args, int64_t) {
    return arrow::compute::CallFunction(kName, args);
  });
}

constexpr char kUpper[] = "utf8_upper";
constexpr char kLower[] = "utf8_lower";
constexpr char kLength[] = "utf8_length";

Result<Kernel> MakeTrim(const Expression& call, const Clock*) {
  MARBLE_RETURN_NOT_OK(CheckStrings(call, 1));
  return Kernel([](const std::vector<Datum>& args, int64_t) {
    const arrow::compute::TrimOptions options(" ");  // SQL's TRIM takes off spaces only
    return arrow::compute::CallFunction("utf8_trim", args, &options);
  });
}

Result<Kernel> MakeConcat(const Expression& call, const Clock*) {
  MARBLE_RETURN_NOT_OK(CheckStrings(call, call.args.size()));
  return Kernel([](const std::vector<Datum>& args, int64_t) {
    std::vector<Datum> all = args;
    all.emplace_back(std::make_shared<arrow::StringScalar>(""));
    return arrow::compute::CallFunction("binary_join_element_wise", all);
  });
}

inline bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// Byte position behind `count` code points from `at`.
size_t Advance(std::string_view text, size_t at, int64_t count) {
  while (count > 0 && at < text.size()) {
    ++at;
    while (at < text.size() && IsContinuation(text[at])) ++at;
    --count;
  }
  return at;
}

int64_t CodePoints(std::string_view text) {
  int64_t count = 0;
  for (char c : text) count += !IsContinuation(c);
  return count;
}

Result<int64_t> IntegerAt(const arrow::Array& array, int64_t row) {
  if (array.type_id() == Type::INT32) {
    return static_cast<const arrow::Int32Array&>(array).Value(row);
  }
  return static_cast<const arrow::Int64Array&>(array).Value(row);
}

/// Flink's rules: a position of 0 is 1, a negative one counts from the end, a negative length
/// gives NULL, a start before the text gives the empty text.
Result<Kernel> MakeSubstring(const Expression& call, const Clock*) {
  MARBLE_RETURN_NOT_OK(CheckStrings(call, 1));
  for (size_t i = 1; i < call.args.size(); ++i) {
    const auto id = call.args[i]->type->id();
    if (id != Type::INT32 && id != Type::INT64) return TypeNotSupported(call);
  }
  return Kernel([](const std::vector<Datum>& args, int64_t rows) -> Result<Datum> {
    MARBLE_ASSIGN_OR_RETURN(auto strings, AsArray(args[0], rows));
    MARBLE_ASSIGN_OR_RETURN(auto positions, AsArray(args[1], rows));
    std::shared_ptr<arrow::Array> lengths;
    if (args.size() > 2) {
      MARBLE_ASSIGN_OR_RETURN(lengths, AsArray(args[2], rows));
    }
    const auto& texts = static_cast<const arrow::StringArray&>(*strings);
    arrow::StringBuilder builder;
    MARBLE_RETURN_NOT_OK(builder.Reserve(rows));
    for (int64_t i = 0; i < rows; ++i) {
      if (texts.IsNull(i) || positions->IsNull(i) || (lengths && lengths->IsNull(i))) {
        builder.UnsafeAppendNull();
        continue;
      }
      const std::string_view text = texts.GetView(i);
      MARBLE_ASSIGN_OR_RETURN(int64_t position, IntegerAt(*positions, i));
      int64_t length = std::numeric_limits<int64_t>::max();
      if (lengths) {
        MARBLE_ASSIGN_OR_RETURN(length, IntegerAt(*lengths, i));
      }
      if (length < 0) {
        builder.UnsafeAppendNull();
        continue;
      }
      int64_t start = position > 0 ? position - 1 : 0;
      if (position < 0) {
        start = CodePoints(text) + position;
        if (start < 0) {
          MARBLE_RETURN_NOT_OK(builder.Append(""));
          continue;
        }
      }
      const size_t from = Advance(text, 0, start);
      const size_t to = Advance(text, from, length);
      MARBLE_RETURN_NOT_OK(builder.Append(text.substr(from, to - from)));
    }
    MARBLE_ASSIGN_OR_RETURN(std::shared_ptr<arrow::Array> result, builder.Finish());
    return Datum(result);
  });
}

/// A LIKE pattern as literal runs and wildcards.
class LikePattern {
 public:
  static Result<LikePattern> Compile(std::string_view pattern, std::string_view escape) {
    LikePattern compiled;
    bool run = false;
    for (size_t i = 0; i < pattern.size(); ++i) {
      char c = pattern[i];
      if (!escape.empty() && c == escape[0]) {
        if (i + 1 >= pattern.size() ||
            (pattern[i + 1] != '%' && pattern[i + 1] != '_' && pattern[i + 1] != escape[0])) {
          return MakeError(ErrorCode::kPlan, "LIKE pattern '" + std::string(pattern) +
                                                 "': the escape character must stand before "
                                                 "%, _ or itself");
        }
        c = pattern[++i];
      } else if (c == '%' || c == '_') {
        compiled.parts_.emplace_back();
        compiled.parts_.back().wildcard = c;
        run = false;
        continue;
      }
      if (!run) compiled.parts_.emplace_back();
      run = true;
      compiled.parts_.back().text.push_back(c);
    }
    return compiled;
  }

  bool Matches(std::string_view text) const {
    // Greedy with one point to come back to: the last %.
    size_t part = 0, at = 0, retry_part = SIZE_MAX, retry_at = 0;
    while (true) {
      if (part < parts_.size() && parts_[part].wildcard == '%') {
        retry_part = ++part;
        retry_at = at;
        continue;
      }
      bool step = false;
      if (part < parts_.size()) {
        if (parts_[part].wildcard == '_') {
          step = at < text.size();
          if (step) at = Advance(text, at, 1);
        } else {
          step = text.substr(at).starts_with(parts_[part].text);
          if (step) at += parts_[part].text.size();
        }
      } else if (at == text.size()) {
        return true;
      }
      if (step) {
        ++part;
        continue;
      }
      if (retry_part == SIZE_MAX || retry_at >= text.size()) return false;
      retry_at = Advance(text, retry_at, 1);
      at = retry_at;
      part = retry_part;
    }
  }

 private:
  struct Part {
    char wildcard = 0;  // 0: literal text
    std::string text;
  };
  std::vector<Part> parts_;
};

Result<Kernel> MakeLike(const Expression& call, const Clock*) {
  MARBLE_RETURN_NOT_OK(CheckStrings(call, call.args.size()));
  MARBLE_ASSIGN_OR_RETURN(auto text, LiteralText(call, 1));
  std::string escape;
  if (call.args.size() > 2) {
    MARBLE_ASSIGN_OR_RETURN(escape, LiteralText(call, 2));
    if (escape.size() != 1) {
      return MakeError(ErrorCode::kPlan, "LIKE: ESCAPE must be one ASCII character");
    }
  }
  MARBLE_ASSIGN_OR_RETURN(auto pattern, LikePattern::Compile(text, escape));
  return Kernel([pattern](const std::vector<Datum>& args, int64_t rows) -> Result<Datum> {
    MARBLE_ASSIGN_OR_RETURN(auto array, AsArray(args[0], rows));
    const auto& texts = static_cast<const arrow::StringArray&>(*array);
    return BuildBoolean(rows, [&](int64_t i, bool* out) {
      if (texts.IsNull(i)) return false;
      *out = pattern.Matches(texts.GetView(i));
      return true;
    });
  });
}

}  // namespace

std::optional<std::string> LikePrefix(const Expression& like) {
  if (like.kind != Expression::Kind::kCall || like.function != "like") return std::nullopt;
  const auto pattern = LiteralText(like, 1);
  if (!pattern.ok()) return std::nullopt;
  std::string escape;
  if (like.args.size() > 2) {
    auto given = LiteralText(like, 2);
    if (!given.ok() || given->size() != 1) return std::nullopt;
    escape = *std::move(given);
  }
  std::string prefix;
  for (size_t i = 0; i < pattern->size(); ++i) {
    char c = (*pattern)[i];
    if (!escape.empty() && c == escape[0]) {
      if (++i == pattern->size()) return std::nullopt;
      c = (*pattern)[i];
    } else if (c == '%' || c == '_') {
      break;
    }
    prefix.push_back(c);
  }
  return prefix;
}

const std::vector<Function>& StringFunctions() {
  static const std::vector<Function> kFunctions = {
      {"upper", 1, 1, MakeUnary<kUpper>},
      {"lower", 1, 1, MakeUnary<kLower>},
      {"charLength", 1, 1, MakeUnary<kLength>},
      {"trim", 1, 1, MakeTrim},
      {"concat", 1, 1 << 10, MakeConcat},
      {"substring", 2, 3, MakeSubstring},
      {"like", 2, 3, MakeLike},
  };
  return kFunctions;
}

}  // namespace marble::expr
