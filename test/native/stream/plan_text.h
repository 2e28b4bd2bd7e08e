// Plans for tests: `rows` (key, value, ts) with a watermark, windows by key, and sinks.
#pragma once

#include <string>

namespace marble::stream {

inline std::string FieldText(const std::string& name, const std::string& type,
                             bool nullable = true) {
  return R"({"name":")" + name + R"(","type":)" + type + R"(,"nullable":)" +
         (nullable ? "true" : "false") + R"(,"children":[]})";
}

inline const std::string kText = R"({"name":"utf8"})";
inline const std::string kLong = R"({"name":"int","bitWidth":64,"isSigned":true})";
inline const std::string kInt = R"({"name":"int","bitWidth":32,"isSigned":true})";
inline const std::string kTime = R"({"name":"timestamp","unit":"MILLISECOND"})";
inline const std::string kDuration = R"({"name":"duration","unit":"MILLISECOND"})";

inline std::string ColumnText(int index, const std::string& type) {
  return R"({"kind":"column","index":)" + std::to_string(index) + R"(,"type":)" + type +
         R"(,"nullable":true})";
}

inline std::string RowFields() {
  return FieldText("key", kText) + "," + FieldText("value", kInt) + "," + FieldText("ts", kTime);
}

struct PlanText {
  std::string job = "j";
  std::string connector = "js";
  std::string options = "{}";
  bool bounded = true;
  int64_t delay_ms = 10;
  std::string idle = "null";
  int64_t size_ms = 100;
  std::string sink = "collect";
  bool total = false;      // a second sink: one window over all keys
  std::string aggregates;  // more of them, after a comma
  std::string epoch_ms = "100";

  std::string Source() const {
    return R"({"id":"src","type":"source","table":"rows","connector":")" + connector +
           R"(","options":)" + options + R"(,"format":)" +
           (connector == "filesystem" ? R"({"name":"json","options":{}})" : "null") +
           R"(,"bounded":)" + (bounded ? "true" : "false") +
           R"(,"columns":[{"kind":"physical","name":"key"},{"kind":"physical","name":"value"},)"
           R"({"kind":"physical","name":"ts"}],"fields":[)" +
           RowFields() + "]}";
  }
  std::string Watermark() const {
    return R"({"id":"wm","type":"watermark","input":"src","column":2,"expr":)"
           R"({"kind":"call","function":"minus","args":[)" +
           ColumnText(2, kTime) + R"(,{"kind":"literal","value":")" + std::to_string(delay_ms) +
           R"(","type":)" + kDuration + R"(,"nullable":false}],"type":)" + kTime +
           R"(,"nullable":true},"idleTimeoutMs":)" + idle + R"(,"fields":[)" + RowFields() + "]}";
  }
  static std::string Aggregate(const std::string& function, const std::string& args) {
    return R"({"function":")" + function + R"(","args":[)" + args +
           R"(],"filter":null,"distinct":false})";
  }
  std::string Window(const std::string& id, bool keyed) const {
    const auto value = ColumnText(1, kInt);
    return R"({"id":")" + id +
           R"(","type":"windowAggregate","input":"wm",)"
           R"("window":{"kind":"tumble","timeColumn":2,"sizeMs":)" +
           std::to_string(size_ms) + R"(,"offsetMs":0},"keys":[)" + (keyed ? "0" : "") +
           R"(],"aggregates":[)" + Aggregate("count", "") + "," + Aggregate("sum", value) + "," +
           Aggregate("min", value) + "," + Aggregate("max", value) + "," + Aggregate("avg", value) +
           R"(],"windowColumns":["start"],"fields":[)" + Fields(keyed) + "]}";
  }
  static std::string Fields(bool keyed) {
    return (keyed ? FieldText("key", kText) + "," : std::string()) + FieldText("n", kLong, false) +
           "," + FieldText("sum", kInt) + "," + FieldText("min", kInt) + "," +
           FieldText("max", kInt) + "," + FieldText("avg", kInt) + "," +
           FieldText("start", kTime, false);
  }
  std::string Sink(const std::string& id, const std::string& input, const std::string& table,
                   bool keyed) const {
    return R"({"id":")" + id + R"(","type":"sink","input":")" + input + R"(","table":")" + table +
           R"(","connector":")" + sink + R"(","options":{},"primaryKey":)" +
           (sink == "collect" ? "[]"
            : keyed           ? R"(["key","start"])"
                              : R"(["start"])") +
           R"(,"mode":")" + (sink == "collect" ? "append" : "upsert") + R"(","fields":[)" +
           Fields(keyed) + "]}";
  }
  std::string Text() const {
    std::string nodes = Source() + "," + Watermark() + "," + Window("agg", true) + "," +
                        Sink("out", "agg", "by_key", true);
    if (total) nodes += "," + Window("all", false) + "," + Sink("out2", "all", "total", false);
    return R"({"version":1,"job":{"name":")" + job + R"("},"settings":{"epochMs":)" + epoch_ms +
           R"(},"nodes":[)" + nodes + "]}";
  }
};

}  // namespace marble::stream
