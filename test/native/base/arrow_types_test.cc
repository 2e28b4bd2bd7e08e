#include "base/arrow_types.h"

#include <arrow/api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace marble {
namespace {

using arrow::TimeUnit;
using testing::HasSubstr;

std::shared_ptr<arrow::Schema> AllTypes() {
  std::vector<std::shared_ptr<arrow::DataType>> types = {
      arrow::null(),
      arrow::boolean(),
      arrow::int8(),
      arrow::int16(),
      arrow::int32(),
      arrow::int64(),
      arrow::uint8(),
      arrow::uint16(),
      arrow::uint32(),
      arrow::uint64(),
      arrow::float16(),
      arrow::float32(),
      arrow::float64(),
      arrow::decimal128(12, 3),
      arrow::decimal256(60, -2),
      arrow::date32(),
      arrow::date64(),
      arrow::time32(TimeUnit::SECOND),
      arrow::time32(TimeUnit::MILLI),
      arrow::time64(TimeUnit::MICRO),
      arrow::time64(TimeUnit::NANO),
      arrow::timestamp(TimeUnit::SECOND),
      arrow::timestamp(TimeUnit::NANO, "Europe/Berlin"),
      arrow::duration(TimeUnit::MILLI),
      arrow::month_interval(),
      arrow::day_time_interval(),
      arrow::month_day_nano_interval(),
      arrow::utf8(),
      arrow::large_utf8(),
      arrow::binary(),
      arrow::large_binary(),
      arrow::fixed_size_binary(16),
      arrow::list(arrow::field("item", arrow::int32(), false)),
      arrow::large_list(arrow::list(arrow::utf8())),
      arrow::fixed_size_list(arrow::float32(), 3),
      arrow::struct_(
          {arrow::field("a", arrow::int8()), arrow::field("b", arrow::struct_({}), false)}),
      arrow::map(arrow::utf8(), arrow::list(arrow::int64())),
      arrow::map(arrow::int32(), arrow::utf8(), /*keys_sorted=*/true),
      arrow::dense_union({arrow::field("n", arrow::int64()), arrow::field("t", arrow::utf8())},
                         {9, 0}),
      arrow::sparse_union({arrow::field("only", arrow::list(arrow::boolean()))}, {127})};
  std::vector<std::shared_ptr<arrow::Field>> fields;
  for (const auto& type : types) {
    fields.push_back(
        arrow::field("c" + std::to_string(fields.size()), type, fields.size() % 3 != 0));
  }
  return arrow::schema(fields);
}

TEST(ArrowTypes, EverySupportedTypeGoesToJsonAndBack) {
  const auto schema = AllTypes();
  auto json = SchemaToJson(*schema);
  ASSERT_TRUE(json.ok()) << json.status();
  auto back = SchemaFromJson(*json);
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ((*back)->num_fields(), schema->num_fields());
  for (int i = 0; i < schema->num_fields(); ++i) {
    EXPECT_TRUE((*back)->field(i)->Equals(schema->field(i), true))
        << (*back)->field(i)->ToString() << " is not " << schema->field(i)->ToString();
  }
}

TEST(ArrowTypes, TheJsonIsArrowsIntegrationFormat) {
  const auto schema =
      arrow::schema({arrow::field("id", arrow::int64(), false),
                     arrow::field("at", arrow::timestamp(TimeUnit::MILLI, "UTC")),
                     arrow::field("tags", arrow::list(arrow::field("item", arrow::utf8())), true,
                                  arrow::key_value_metadata({"field"}, {"3"}))},
                    arrow::key_value_metadata({"k"}, {"v"}));
  EXPECT_EQ(SchemaToJson(*schema).ValueOrDie(),
            R"({"fields":[{"name":"id","nullable":false,)"
            R"("type":{"name":"int","bitWidth":64,"isSigned":true},"children":[]},)"
            R"({"name":"at","nullable":true,)"
            R"("type":{"name":"timestamp","unit":"MILLISECOND","timezone":"UTC"},"children":[]},)"
            R"({"name":"tags","nullable":true,"type":{"name":"list"},"children":[)"
            R"({"name":"item","nullable":true,"type":{"name":"utf8"},"children":[]}],)"
            R"("metadata":[{"key":"field","value":"3"}]}],)"
            R"("metadata":[{"key":"k","value":"v"}]})");
}

TEST(ArrowTypes, NamesAndMetadataMayHoldAnyText) {
  std::string all;
  for (char c = 1; c < 127; ++c) all.push_back(c);
  all += "\"\\/\x7f Łódź 漢字 \xf0\x9f\x90\x98";
  const auto schema =
      arrow::schema({arrow::field(all, arrow::utf8(), true,
                                  arrow::key_value_metadata({all}, {std::string("\0", 1)}))},
                    arrow::key_value_metadata({"k", "k"}, {all, ""}));
  auto json = SchemaToJson(*schema);
  ASSERT_TRUE(json.ok()) << json.status();
  auto back = SchemaFromJson(*json);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_TRUE((*back)->Equals(*schema, /*check_metadata=*/true)) << *json;
  EXPECT_EQ((*back)->field(0)->name(), all);

  const auto binary = arrow::schema({arrow::field("\xff", arrow::utf8())});
  EXPECT_EQ(CodeOf(SchemaToJson(*binary).status()), ErrorCode::kSchema);
}

TEST(ArrowTypes, AFieldOfAPlanMayLackNameNullableAndChildren) {
  auto field = FieldFromJson(R"({"type":{"name":"utf8"}})");
  ASSERT_TRUE(field.ok()) << field.status();
  EXPECT_TRUE((*field)->Equals(*arrow::field("", arrow::utf8(), true)));
  field = FieldFromJson(R"({"name":"d","nullable":false,"children":[],)"
                        R"("type":{"name":"decimal","precision":9,"scale":2}})");
  ASSERT_TRUE(field.ok()) << field.status();
  EXPECT_TRUE((*field)->Equals(*arrow::field("d", arrow::decimal128(9, 2), false)));
}

TEST(ArrowTypes, BadJsonIsASchemaErrorThatSaysWhere) {
  const auto error = [](const std::string& json) { return SchemaFromJson(json).status(); };
  const auto column = [](const std::string& rest) {
    return R"({"fields":[{"name":"price",)" + rest + "}]}";
  };
  for (const std::string& json :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"),
        std::string(R"({"fields":[1]})"), std::string(R"({"fields":[{"type":{"name":"bool"}}]})"),
        column(R"("nullable":true)"), column(R"("type":"utf8")"),
        column(R"("type":{"name":"int","bitWidth":12})"),
        column(R"("type":{"name":"time","unit":"SECOND","bitWidth":64})"),
        column(R"("type":{"name":"decimal","precision":99,"scale":0})"),
        column(R"("type":{"name":"list"},"children":[])"),
        column(R"("type":{"name":"map"},"children":[{"name":"e","type":{"name":"utf8"}}])"),
        column(R"("nullable":1,"type":{"name":"utf8"})"),
        column(R"("type":{"name":"timestamp","unit":"DAY"})")}) {
    EXPECT_EQ(CodeOf(error(json)), ErrorCode::kSchema) << json << ": " << error(json);
  }
  EXPECT_THAT(error(column(R"("type":{"name":"int","bitWidth":12})")).message(),
              HasSubstr("'price'"));
  EXPECT_EQ(CodeOf(error(column(R"("type":{"name":"runendencoded"})"))), ErrorCode::kNotSupported);
  std::string deep = R"({"name":"x","type":{"name":"utf8"}})";
  for (int i = 0; i < 200; ++i) {
    deep = R"({"name":"x","type":{"name":"list"},"children":[)" + deep + "]}";
  }
  EXPECT_EQ(CodeOf(error(R"({"fields":[)" + deep + "]}")), ErrorCode::kSchema);
}

TEST(ArrowTypes, ADictionaryIsAFieldOfItsValuesThatSaysSo) {
  const std::string json =
      R"({"fields":[{"name":"word","nullable":true,"type":{"name":"list"},"children":[)"
      R"({"name":"item","nullable":true,"type":{"name":"utf8"},"children":[],)"
      R"("dictionary":{"indexType":{"name":"int","bitWidth":8,"isSigned":false},"isOrdered":true},)"
      R"("metadata":[{"key":"k","value":"v"}]}]}]})";
  const auto schema = SchemaFromJson(json).ValueOrDie();
  const auto& item = *schema->field(0)->type()->field(0);
  EXPECT_TRUE(item.type()->Equals(arrow::utf8()));
  const auto dictionary = DictionaryOf(item);
  ASSERT_TRUE(dictionary.has_value());
  EXPECT_TRUE(dictionary->index_type->Equals(arrow::uint8()));
  EXPECT_TRUE(dictionary->ordered);
  EXPECT_FALSE(DictionaryOf(*schema->field(0)).has_value());
  EXPECT_EQ(SchemaToJson(*schema).ValueOrDie(), json);
  // Metadata that says nothing of ours is nobody's dictionary.
  const auto other = arrow::field("x", arrow::utf8())
                         ->WithMetadata(arrow::KeyValueMetadata::Make({kDictionaryKey}, {"float"}));
  EXPECT_FALSE(DictionaryOf(*other).has_value());
  const auto bad = SchemaFromJson(
      R"({"fields":[{"name":"w","type":{"name":"utf8"},"dictionary":{"indexType":{"name":"utf8"}}}]})");
  EXPECT_EQ(CodeOf(bad.status()), ErrorCode::kSchema);
}

TEST(ArrowTypes, AViewIsAFieldOfItsPlainTypeThatSaysSo) {
  const std::string json =
      R"({"fields":[{"name":"w","nullable":true,"type":{"name":"utf8"},"children":[],"view":true},)"
      R"({"name":"l","nullable":true,"type":{"name":"list"},"children":[{"name":"item",)"
      R"("nullable":true,"type":{"name":"binary"},"children":[],"view":true}]},)"
      R"({"name":"p","nullable":true,"type":{"name":"utf8"},"children":[]}]})";
  const auto schema = SchemaFromJson(json).ValueOrDie();
  EXPECT_TRUE(schema->field(0)->type()->Equals(arrow::utf8()));
  EXPECT_TRUE(schema->field(1)->type()->Equals(arrow::list(arrow::binary())));
  EXPECT_TRUE(IsDeclaredView(*schema->field(0)));
  EXPECT_TRUE(IsDeclaredView(*schema->field(1)->type()->field(0)));
  EXPECT_FALSE(IsDeclaredView(*schema->field(2)));
  EXPECT_EQ(SchemaToJson(*schema).ValueOrDie(), json);
  const auto number =
      SchemaFromJson(R"({"fields":[{"name":"n","type":{"name":"null"},"view":true}]})");
  EXPECT_EQ(CodeOf(number.status()), ErrorCode::kSchema);
  EXPECT_THAT(number.status().message(), HasSubstr("'n'"));
}

TEST(ArrowTypes, AUnionThatMakesNoSenseIsRefused) {
  const auto code = [](const std::string& type, const std::string& children) {
    const std::string json =
        R"({"fields":[{"name":"u","type":)" + type + R"(,"children":[)" + children + "]}]}";
    const Status status = SchemaFromJson(json).status();
    EXPECT_THAT(status.message(), HasSubstr("'u'")) << json;
    return CodeOf(status);
  };
  const std::string a = R"({"name":"a","type":{"name":"bool"}})";
  for (const char* type :
       {R"({"name":"union","typeIds":[0]})", R"({"name":"union","mode":"BOTH","typeIds":[0]})",
        R"({"name":"union","mode":"DENSE"})", R"({"name":"union","mode":"DENSE","typeIds":[128]})",
        R"({"name":"union","mode":"DENSE","typeIds":[-1]})",
        R"({"name":"union","mode":"DENSE","typeIds":[0,1]})"}) {
    EXPECT_EQ(code(type, a), ErrorCode::kSchema) << type;
  }
  EXPECT_EQ(code(R"({"name":"union","mode":"DENSE","typeIds":[4,4]})", a + "," + a),
            ErrorCode::kSchema);
  EXPECT_EQ(code(R"({"name":"union","mode":"SPARSE","typeIds":[]})", ""), ErrorCode::kSchema);
}

TEST(ArrowTypes, ATypeWithoutJsonIsNotSupported) {
  const auto schema =
      arrow::schema({arrow::field("word", arrow::dictionary(arrow::int32(), arrow::utf8()))});
  const Status status = SchemaToJson(*schema).status();
  EXPECT_EQ(CodeOf(status), ErrorCode::kNotSupported);
  EXPECT_THAT(status.message(), HasSubstr("'word'"));
}

}  // namespace
}  // namespace marble
