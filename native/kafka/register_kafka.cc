#include "kafka/kafka_source.h"

namespace marble::kafka {

void RegisterKafka() {
  stream::RegisterSource(
      "kafka", [](const stream::SourceSpec& spec) -> Result<std::unique_ptr<stream::Source>> {
        MARBLE_ASSIGN_OR_RETURN(auto source, KafkaSource::Make(spec));
        return std::unique_ptr<stream::Source>(std::move(source));
      });
}

}  // namespace marble::kafka
