#include "state/group_column.h"

#include <arrow/api.h>
#include <arrow/util/bit_util.h>

#include <cstring>

namespace marble::state {

Result<GroupColumn> GroupColumn::Make(std::shared_ptr<arrow::Field> field) {
  GroupColumn column;
  const auto& type = *field->type();
  if (type.id() == arrow::Type::BOOL) {
    column.width_ = 1;
    column.bits_ = true;
  } else if (arrow::is_fixed_width(type.id()) && type.id() != arrow::Type::DICTIONARY) {
    column.width_ = static_cast<const arrow::FixedWidthType&>(type).bit_width() / 8;
  } else if (type.id() != arrow::Type::STRING && type.id() != arrow::Type::BINARY &&
             type.id() != arrow::Type::LARGE_STRING && type.id() != arrow::Type::LARGE_BINARY) {
    return MakeError(ErrorCode::kNotSupported, "Column '" + field->name() + "': " +
                                                   type.ToString() + " cannot be kept in state");
  }
  column.field_ = std::move(field);
  return column;
}

void GroupColumn::Resize(size_t groups) {
  if (width_ > 0) {
    fixed_.resize(groups * static_cast<size_t>(width_));
  } else {
    strings_.resize(groups);
  }
  valid_.resize(groups, field_->nullable() ? 0 : 1);
}

void GroupColumn::Reset(uint32_t group) {
  if (width_ > 0) {
    std::memset(fixed_.data() + size_t{group} * width_, 0, static_cast<size_t>(width_));
  } else {
    strings_[group] = std::string();
  }
  valid_[group] = field_->nullable() ? 0 : 1;
}

void GroupColumn::Set(uint32_t group, const arrow::Array& array, int64_t row) {
  if (array.IsNull(row)) {
    Reset(group);
    valid_[group] = 0;
    return;
  }
  valid_[group] = 1;
  if (bits_) {
    fixed_[group] = static_cast<const arrow::BooleanArray&>(array).Value(row);
  } else if (width_ > 0) {
    const auto& data = *array.data();
    std::memcpy(fixed_.data() + size_t{group} * width_,
                data.buffers[1]->data() + (data.offset + row) * width_,
                static_cast<size_t>(width_));
  } else if (array.type_id() == arrow::Type::LARGE_STRING ||
             array.type_id() == arrow::Type::LARGE_BINARY) {
    strings_[group] = static_cast<const arrow::LargeBinaryArray&>(array).GetView(row);
  } else {
    strings_[group] = static_cast<const arrow::BinaryArray&>(array).GetView(row);
  }
}

namespace {

template <int kWidth>
void GatherFixed(const uint8_t* from, const std::vector<uint32_t>& groups, uint8_t* to) {
  for (size_t i = 0; i < groups.size(); ++i) {
    std::memcpy(to + i * kWidth, from + size_t{groups[i]} * kWidth, kWidth);
  }
}

}  // namespace

Result<std::shared_ptr<arrow::Array>> GroupColumn::Gather(
    const std::vector<uint32_t>& groups) const {
  const auto rows = static_cast<int64_t>(groups.size());
  int64_t nulls = 0;
  for (uint32_t group : groups) nulls += valid_[group] == 0;
  if (width_ == 0) {
    MARBLE_ASSIGN_OR_RETURN(auto builder, arrow::MakeBuilder(field_->type()));
    auto append = [&](auto* typed) -> Status {
      int64_t bytes = 0;
      for (uint32_t group : groups) bytes += static_cast<int64_t>(strings_[group].size());
      MARBLE_RETURN_NOT_OK(typed->Reserve(rows));
      MARBLE_RETURN_NOT_OK(typed->ReserveData(bytes));
      for (uint32_t group : groups) {
        if (valid_[group]) {
          typed->UnsafeAppend(strings_[group]);
        } else {
          typed->UnsafeAppendNull();
        }
      }
      return Status::OK();
    };
    switch (field_->type()->id()) {
      case arrow::Type::LARGE_STRING:
      case arrow::Type::LARGE_BINARY:
        MARBLE_RETURN_NOT_OK(append(static_cast<arrow::LargeBinaryBuilder*>(builder.get())));
        break;
      default:
        MARBLE_RETURN_NOT_OK(append(static_cast<arrow::BinaryBuilder*>(builder.get())));
    }
    return builder->Finish();
  }
  std::shared_ptr<arrow::Buffer> validity;
  if (nulls > 0) {
    MARBLE_ASSIGN_OR_RETURN(validity, arrow::AllocateEmptyBitmap(rows));
    for (int64_t i = 0; i < rows; ++i) {
      if (valid_[groups[static_cast<size_t>(i)]]) {
        arrow::bit_util::SetBit(validity->mutable_data(), i);
      }
    }
  }
  std::shared_ptr<arrow::Buffer> data;
  if (bits_) {
    MARBLE_ASSIGN_OR_RETURN(data, arrow::AllocateEmptyBitmap(rows));
    for (int64_t i = 0; i < rows; ++i) {
      if (fixed_[groups[static_cast<size_t>(i)]]) {
        arrow::bit_util::SetBit(data->mutable_data(), i);
      }
    }
  } else {
    MARBLE_ASSIGN_OR_RETURN(data, arrow::AllocateBuffer(rows * width_));
    auto* out = data->mutable_data();
    switch (width_) {
      case 1:
        GatherFixed<1>(fixed_.data(), groups, out);
        break;
      case 2:
        GatherFixed<2>(fixed_.data(), groups, out);
        break;
      case 4:
        GatherFixed<4>(fixed_.data(), groups, out);
        break;
      case 8:
        GatherFixed<8>(fixed_.data(), groups, out);
        break;
      case 16:
        GatherFixed<16>(fixed_.data(), groups, out);
        break;
      default:
        for (size_t i = 0; i < groups.size(); ++i) {
          std::memcpy(out + i * width_, fixed_.data() + size_t{groups[i]} * width_,
                      static_cast<size_t>(width_));
        }
    }
  }
  return arrow::MakeArray(
      arrow::ArrayData::Make(field_->type(), rows, {std::move(validity), std::move(data)}, nulls));
}

size_t GroupColumn::memory_bytes() const {
  size_t bytes = fixed_.capacity() + valid_.capacity() + strings_.capacity() * sizeof(std::string);
  // Long strings lie outside; sampling would be wrong for skewed data, and this is called rarely.
  for (const auto& text : strings_) {
    if (text.capacity() > 15) bytes += text.capacity() + 1;
  }
  return bytes;
}

}  // namespace marble::state
