// The planner knows librdkafka's settings by a list (lib/sql/catalog/connectors), because it is
// plain TypeScript: here the list is compared with what the linked librdkafka says of itself. After
// an update of librdkafka UPDATE_FIXTURES=1 writes it anew.
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace marble::kafka {
namespace {

std::string Trim(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  return first == std::string::npos ? ""
                                    : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::vector<std::string> Split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  size_t from = 0;
  for (size_t at; (at = text.find(separator, from)) != std::string::npos;
       from = at + separator.size()) {
    parts.push_back(Trim(text.substr(from, at - from)));
  }
  parts.push_back(Trim(text.substr(from)));
  return parts;
}

/// What librdkafka says to a value: "" for a good one.
std::string Refusal(const std::string& name, const std::string& value) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char reason[512] = "";
  const auto result = rd_kafka_conf_set(conf, name.c_str(), value.c_str(), reason, sizeof(reason));
  rd_kafka_conf_destroy(conf);
  return result == RD_KAFKA_CONF_OK ? "" : reason;
}

/// CONFIGURATION.md, as the library prints it.
std::string Documentation() {
  char* text = nullptr;
  size_t size = 0;
  FILE* memory = ::open_memstream(&text, &size);
  rd_kafka_conf_properties_show(memory);
  std::fclose(memory);
  std::string result(text, size);
  std::free(text);
  return result;
}

/// "name role kind bounds" of each setting that a text can set, by name.
std::string PropertyList() {
  const std::map<std::string, std::string> kinds = {
      {"string", "string"},   {"boolean", "boolean"}, {"integer", "integer"},    {"float", "float"},
      {"enum value", "enum"}, {"CSV flags", "flags"}, {"pattern list", "string"}};
  std::map<std::string, std::string> lines;
  std::istringstream input(Documentation());
  for (std::string line; std::getline(input, line);) {
    const auto cells = Split(line, " | ");
    const size_t type = line.rfind("*Type: ");
    if (cells.size() < 6 || type == std::string::npos) continue;
    const std::string& name = cells[0];
    const auto kind = kinds.find(line.substr(type + 7, line.rfind('*') - type - 7));
    // Callbacks have functions of their own. What is global comes first, as in rd_kafka_conf_set.
    if (kind == kinds.end() || lines.contains(name)) continue;
    std::string entry = name + " " + cells[1] + " ";
    if (Refusal(name, "x").find("not supported in this build") != std::string::npos) {
      entry += "unsupported";
    } else if (kind->second == "integer" || kind->second == "float") {
      const auto bounds = Split(cells[2], " .. ");
      entry += kind->second + " " + bounds[0] + " " + bounds[1];
      if (Refusal(name, "all").empty()) entry += " all";
    } else if (kind->second == "enum") {
      entry += "enum";
      for (const std::string& value : Split(cells[2], ", ")) {
        if (Refusal(name, value).empty()) entry += " " + value;
      }
    } else {
      entry += kind->second;
    }
    lines[name] = entry;
  }
  std::string list;
  for (const auto& [name, line] : lines) list += line + "\n";
  return list;
}

TEST(KafkaProperties, ThePlannersListIsThatOfTheLinkedLibrdkafka) {
  const auto path = std::filesystem::path(__FILE__).parent_path() /
                    "../../../lib/sql/catalog/connectors/librdkafka-properties.ts";
  std::stringstream read;
  read << std::ifstream(path).rdbuf();
  const std::string file = read.str();
  const size_t begin = file.find("`\n") + 2;
  const size_t end = file.rfind('`');
  ASSERT_TRUE(begin <= end && end != std::string::npos)
      << path << " has no list between backquotes";
  const std::string list = PropertyList();
  ASSERT_NE(list.find("\nfetch.wait.max.ms C integer 0 300000\n"), std::string::npos) << list;
  if (std::getenv("UPDATE_FIXTURES") != nullptr) {
    std::ofstream(path) << file.substr(0, begin) << list << file.substr(end);
    return;
  }
  EXPECT_EQ(file.substr(begin, end - begin), list) << "run this test with UPDATE_FIXTURES=1";
}

}  // namespace
}  // namespace marble::kafka
