#include <cmath>
#include <cstdio>
#include <initializer_list>

#include "report.h"

namespace marble::lsm::bench {
namespace {

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", c);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string Value(double number) {
  if (!std::isfinite(number)) return "null";
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", number);
  return text;
}
std::string Value(uint64_t number) { return std::to_string(number); }
std::string Value(bool flag) { return flag ? "true" : "false"; }

using Member = std::pair<const char*, std::string>;

std::string Object(std::initializer_list<Member> members) {
  std::string out = "{";
  for (const auto& [name, value] : members) {
    if (out.size() > 1) out += ",";
    out += Quoted(name) + ":" + value;
  }
  return out + "}";
}

template <typename List, typename Each>
std::string Array(const List& list, const Each& each) {
  std::string out = "[";
  for (const auto& item : list) {
    if (out.size() > 1) out += ",";
    out += each(item);
  }
  return out + "]";
}

std::string OfSample(const Sample& s) {
  return Object({{"seconds", Value(s.cost.seconds)},
                 {"cpuSeconds", Value(s.cost.cpu_seconds)},
                 {"othersCores", Value(s.cost.others)},
                 {"readBytes", Value(s.cost.read_bytes)},
                 {"operations", Value(s.outcome.operations)},
                 {"writes", Value(s.outcome.writes)},
                 {"checksum", Value(s.outcome.touched.sum)},
                 {"rowsRead", Value(s.outcome.touched.rows)},
                 {"misses", Value(s.outcome.misses)},
                 {"backgroundSeconds", Value(s.background_seconds)},
                 {"writtenBytes", Value(s.written_bytes)},
                 {"cancelledBytes", Value(s.cancelled_bytes)},
                 {"meanNs", Value(s.outcome.nanoseconds.mean)},
                 {"p50Ns", Value(s.outcome.nanoseconds.p50)},
                 {"p99Ns", Value(s.outcome.nanoseconds.p99)},
                 {"p999Ns", Value(s.outcome.nanoseconds.p999)}});
}

const char* NameOf(Unit unit) {
  switch (unit) {
    case Unit::kPerSecond:
      return "perSecond";
    case Unit::kMilliseconds:
      return "milliseconds";
    case Unit::kLatency:
      return "meanNanoseconds";
  }
  return "";
}

std::string OfLine(const LineResult& line, const Results& results) {
  const Verdict verdict = Judge(line, results.required_ratio);
  std::string bars = "[";
  for (size_t i = 0; i < line.bars.size(); ++i) {
    if (i > 0) bars += ",";
    bars += Object({{"bar", Quoted(line.bars[i].text)},
                    {"reached", Value(static_cast<bool>(verdict.bars_reached[i]))}});
  }
  const auto number = [](double value) { return Value(value); };
  const std::string better = verdict.better == 0 ? "null" : Quoted(results.sides[verdict.better]);
  return Object({{"keys", Value(line.keys)},
                 {"state", Quoted(line.state)},
                 {"line", Quoted(line.line)},
                 {"unit", Quoted(NameOf(line.unit))},
                 {"void", line.void_because.empty() ? "null" : Quoted(line.void_because)},
                 {"medians", Array(verdict.medians, number)},
                 {"spreads", Array(verdict.spreads, number)},
                 {"better", better},
                 {"ratio", verdict.better == 0 ? "null" : Value(verdict.ratio)},
                 {"requiredRatio", Value(results.required_ratio)},
                 {"ratioReached", verdict.better == 0 ? "null" : Value(verdict.ratio_reached)},
                 {"bars", bars + "]"},
                 {"samples", Array(line.samples, [](const std::vector<Sample>& of_side) {
                    return Array(of_side, OfSample);
                  })}});
}

std::string OfShape(const ShapeResult& shape) {
  const auto numbers = [](const std::vector<double>& list) {
    return Array(list, [](double value) { return Value(value); });
  };
  return Object({{"keys", Value(shape.keys)},
                 {"state", Quoted(shape.state)},
                 {"shapes", Array(shape.shapes, Quoted)},
                 {"bytesOnDisk", Array(shape.use,
                                       [](const DiskUse& use) {
                                         return Object({{"tables", Value(use.tables)},
                                                        {"logs", Value(use.logs)},
                                                        {"other", Value(use.other)}});
                                       })},
                 {"settleSeconds", Array(shape.settle_seconds, numbers)},
                 {"settleWrittenBytes", Array(shape.settle_written, numbers)}});
}

}  // namespace

std::string ReportJson(const Results& results, const Facts& machine) {
  return Object({{"machine", Array(machine,
                                   [](const auto& fact) {
                                     return Object({{"name", Quoted(fact.first)},
                                                    {"value", Quoted(fact.second)}});
                                   })},
                 {"sides", Array(results.sides, Quoted)},
                 {"settings", Array(results.descriptions, Quoted)},
                 {"rounds", Value(static_cast<uint64_t>(results.rounds))},
                 {"valid", Value(results.valid())},
                 {"lines", Array(results.lines,
                                 [&](const LineResult& line) { return OfLine(line, results); })},
                 {"shapes", Array(results.shapes, OfShape)},
                 {"notes", Array(results.notes, Quoted)},
                 {"failures", Array(results.failures, Quoted)}}) +
         "\n";
}

}  // namespace marble::lsm::bench
