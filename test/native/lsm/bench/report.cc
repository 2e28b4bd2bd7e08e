#include "report.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <functional>

#include "rows.h"

namespace marble::lsm::bench {
namespace {

constexpr int kNameWidth = 34;
constexpr int kCellWidth = 22;

__attribute__((format(printf, 1, 2))) std::string Format(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return text;
}

std::string Pad(std::string text, int width) {
  if (static_cast<int>(text.size()) < width) text.append(width - text.size(), ' ');
  return text;
}
std::string PadLeft(const std::string& text, int width) {
  const int missing = width - static_cast<int>(text.size());
  return (missing > 0 ? std::string(missing, ' ') : "") + text;
}

std::string Thousands(uint64_t number) {
  std::string text = std::to_string(number);
  for (int i = static_cast<int>(text.size()) - 3; i > 0; i -= 3) text.insert(i, ",");
  return text;
}

std::string Number(double number, Unit unit) {
  switch (unit) {
    case Unit::kPerSecond:
      if (number >= 1e6) return Format("%.2fM/s", number / 1e6);
      return Format("%.1fk/s", number / 1e3);
    case Unit::kMilliseconds:
      return Format("%.2f ms", number);
    case Unit::kLatency:
      return Format("%.0f ns", number);
  }
  return "";
}

std::string MiB(double bytes) { return Format("%.0f MiB", bytes / (1 << 20)); }

std::string Header(const Results& results, const std::string& title, const std::string& more) {
  std::string text = Pad("  " + title, kNameWidth);
  for (const std::string& side : results.sides) text += PadLeft(side, kCellWidth);
  return text + more + "\n";
}

/// One row: a value per side.
std::string Row(const Results& results, const std::string& name,
                const std::function<std::string(size_t)>& cell) {
  std::string text = Pad("  " + name, kNameWidth);
  for (size_t side = 0; side < results.sides.size(); ++side)
    text += PadLeft(cell(side), kCellWidth);
  return text + "\n";
}

std::string Bars(const LineResult& line, const Verdict& verdict, double required_ratio) {
  if (!line.void_because.empty()) return "  VOID: " + line.void_because;
  std::string text;
  if (verdict.better != 0) {
    text = Format("  %6.2f (%.2f-%.2f)  ratio >= %.1f %s", verdict.ratio, verdict.least_ratio,
                  verdict.greatest_ratio, required_ratio, verdict.ratio_reached ? "ok" : "MISS");
  }
  for (size_t i = 0; i < line.bars.size(); ++i) {
    text += "  " + line.bars[i].text + (verdict.bars_reached[i] ? " ok" : " MISS");
  }
  return text;
}

double MedianOf(const std::vector<Sample>& samples,
                const std::function<double(const Sample&)>& of) {
  std::vector<double> values;
  for (const Sample& sample : samples) values.push_back(of(sample));
  return Median(values);
}

std::vector<const LineResult*> LinesOf(const Results& results, uint64_t keys,
                                       const std::function<bool(const LineResult&)>& wanted) {
  std::vector<const LineResult*> lines;
  for (const LineResult& line : results.lines) {
    if (line.keys == keys && wanted(line)) lines.push_back(&line);
  }
  return lines;
}

std::string Title(const LineResult& line) {
  return line.state.empty() ? line.line : line.line + ", " + line.state;
}

std::string Lines(const Results& results, uint64_t keys) {
  std::string text;
  std::string state = "none yet";
  for (const LineResult* line : LinesOf(results, keys, [](const auto&) { return true; })) {
    if (line->state != state) {
      state = line->state;
      text += Header(results, state.empty() ? "line" : state, "   ratio (rounds)");
    }
    const Verdict verdict = Judge(*line, results.required_ratio);
    std::string row = Row(results, line->line, [&](size_t side) {
      if (line->samples[side].empty()) return std::string("-");
      return Number(verdict.medians[side], line->unit) +
             Format(" %3.0f%%", verdict.spreads[side] * 100);
    });
    row.pop_back();
    text += row + Bars(*line, verdict, results.required_ratio) + "\n";
  }
  return text;
}

std::string LatencyTable(const Results& results, uint64_t keys) {
  std::string text;
  for (const LineResult* line :
       LinesOf(results, keys, [](const auto& l) { return l.unit == Unit::kLatency; })) {
    text += Row(results, line->state, [&](size_t side) {
      const auto& samples = line->samples[side];
      const auto at = [&](double Latencies::* member) {
        return MedianOf(samples,
                        [&](const Sample& s) { return s.outcome.nanoseconds.*member / 1e3; });
      };
      return Format("%.2f / %.2f / %.2f / %.0f", at(&Latencies::mean), at(&Latencies::p50),
                    at(&Latencies::p99), at(&Latencies::p999));
    });
  }
  if (text.empty()) return "";
  return Header(results, "latency, us", "   mean / p50 / p99 / p99.9") + text;
}

std::string CpuTable(const Results& results, uint64_t keys) {
  std::string text =
      Header(results, "CPU, ns/op, all threads", "   cores that others used (median)");
  for (const LineResult* line : LinesOf(results, keys, [](const LineResult& l) {
         return l.unit == Unit::kPerSecond && l.line != "write while reading";
       })) {
    std::vector<double> others;
    for (const auto& samples : line->samples) {
      for (const Sample& sample : samples) others.push_back(sample.cost.others);
    }
    std::string row = Row(results, Title(*line), [&](size_t side) {
      return Format("%.0f", MedianOf(line->samples[side], [](const Sample& s) {
                      const double operations = static_cast<double>(
                          s.outcome.operations + (s.outcome.writes > 0 ? s.outcome.writes : 0));
                      return s.cost.cpu_seconds * 1e9 / operations;
                    }));
    });
    row.pop_back();
    text += row + Format("   %.2f\n", Median(others));
  }
  return text;
}

/// Bytes made dirty per byte of keys and values, for lines that put every row.
std::string WriteTable(const Results& results, uint64_t keys) {
  const auto lines = LinesOf(results, keys, [](const LineResult& l) {
    return l.writes && l.line != "write while reading";
  });
  if (lines.empty()) return "";
  std::string text =
      Header(results, "written to disk", "   bytes per user byte, seconds until quiet");
  for (const LineResult* line : lines) {
    text += Row(results, line->line, [&](size_t side) {
      const auto& samples = line->samples[side];
      const double written =
          MedianOf(samples, [](const Sample& s) { return static_cast<double>(s.written_bytes); });
      const double user = MedianOf(samples, [&](const Sample& s) {
        double puts = static_cast<double>(s.outcome.operations);
        if (s.outcome.writes > 0) puts = static_cast<double>(s.outcome.writes);
        if (line->line.rfind("mix", 0) == 0) puts /= 10;
        return puts * (kKeyBytes + kValueBytes);
      });
      return MiB(written) + Format(" %5.2f", written / user) +
             Format(" %4.1fs",
                    MedianOf(samples, [](const Sample& s) { return s.background_seconds; }));
    });
  }
  return text;
}

std::string ShapeTables(const Results& results, uint64_t keys) {
  std::string text;
  const double user = static_cast<double>(keys * (kKeyBytes + kValueBytes));
  for (const ShapeResult& shape : results.shapes) {
    if (shape.keys != keys) continue;
    text += "  " + shape.state + ":\n";
    for (size_t side = 0; side < results.sides.size(); ++side) {
      text += Pad("    " + results.sides[side], kNameWidth) + shape.shapes[side];
      const DiskUse& use = shape.use[side];
      text += "; tables " + MiB(static_cast<double>(use.tables)) +
              Format(" (%.2f per user byte)", static_cast<double>(use.tables) / user) + ", logs " +
              MiB(static_cast<double>(use.logs)) + ", other " + MiB(static_cast<double>(use.other));
      if (!shape.settle_seconds[side].empty()) {
        text += Format("; settled in %.2f s, written ", Median(shape.settle_seconds[side])) +
                MiB(Median(shape.settle_written[side]));
      }
      text += "\n";
    }
  }
  return text;
}

}  // namespace

std::string ReportHead(const Results& results, const Facts& machine) {
  std::string text;
  for (const auto& [name, value] : machine) text += Pad(name + ":", 12) + value + "\n";
  for (size_t side = 0; side < results.sides.size(); ++side) {
    std::string description = results.descriptions[side];
    for (size_t at = 0; (at = description.find('\n', at)) != std::string::npos; at += 3) {
      description.replace(at, 1, "\n  ");
    }
    text += results.sides[side] + ":\n  " + description + "\n";
  }
  return text;
}

std::string ReportKeys(const Results& results, uint64_t keys) {
  return "\n" + Thousands(keys) + " keys of 16 bytes, values of 100; " +
         std::to_string(results.rounds) +
         " rounds; medians, spread (greatest - least) / median; ratio: ours to the better of the "
         "others\n" +
         Lines(results, keys) + LatencyTable(results, keys) + CpuTable(results, keys) +
         WriteTable(results, keys) + ShapeTables(results, keys);
}

std::string ReportEnd(const Results& results) {
  int reached = 0;
  int missed = 0;
  std::string text;
  for (const LineResult& line : results.lines) {
    if (!line.void_because.empty()) {
      text += "VOID: " + Thousands(line.keys) + " keys, " + Title(line) + ": " + line.void_because +
              "\n";
      continue;
    }
    const Verdict verdict = Judge(line, results.required_ratio);
    const auto count = [&](bool ok) { ++(ok ? reached : missed); };
    if (verdict.better != 0) count(verdict.ratio_reached);
    for (const bool ok : verdict.bars_reached) count(ok);
  }
  for (const std::string& failure : results.failures) text += "WRONG: " + failure + "\n";
  for (const std::string& note : results.notes) text += "NOTE: " + note + "\n";
  return text + "\nbars: " + std::to_string(reached) + " reached, " + std::to_string(missed) +
         " missed" + (results.valid() ? "" : "; THE RUN IS VOID where it says so") + "\n";
}

}  // namespace marble::lsm::bench
