#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>  // Boost.Beast forgets it
#include <string>
#include <string_view>
#include <utility>

#include <boost/beast/http/basic_parser.hpp>

namespace perdure::front {

// What is wrong with a request, as the response that says so. The text is a whole line.
struct RequestFault {
  std::uint16_t status = 0;  // 0: nothing is wrong
  std::string_view message;

  explicit operator bool() const noexcept { return status != 0; }
};

// Parses the requests of one connection, one after another, from whatever pieces arrive. Beast does
// the parsing; this writes the head in the form of RequestEvent::head and is stricter in what it
// lets through: no request that another server could read differently.
class RequestParser {
 public:
  RequestParser(std::size_t header_bytes_max, std::uint64_t body_bytes_max);

  // Forgets everything: the next byte is the first of a request.
  void reset();

  // Each takes as much of `input` as it can use and returns how much that was; the caller passes
  // the rest again, with more behind it. parse_head until head_complete(), then parse_body until
  // body_complete(). After a fault nothing more may be parsed.
  std::size_t parse_head(std::string_view input);
  std::size_t parse_body(std::string_view input, std::string& body);

  [[nodiscard]] const RequestFault& fault() const noexcept { return fault_; }
  [[nodiscard]] bool head_complete() const { return message_->is_header_done(); }
  [[nodiscard]] bool body_complete() const { return message_->is_done(); }

  [[nodiscard]] bool head_started() const noexcept { return header_bytes_ > 0; }

  // After the head:
  [[nodiscard]] std::string take_head() noexcept { return std::move(message_->head); }
  [[nodiscard]] bool is_head_request() const noexcept { return message_->is_head_request; }
  [[nodiscard]] bool is_http_1_1() const noexcept { return message_->is_http_1_1; }
  [[nodiscard]] bool keep_alive() const { return message_->keep_alive(); }
  [[nodiscard]] bool expects_continue() const noexcept { return message_->expects_continue; }

 private:
  using Verb = boost::beast::http::verb;
  using Field = boost::beast::http::field;
  using ErrorCode = boost::beast::error_code;
  using View = boost::beast::string_view;

  // One request, as Beast reports it. Single use, like its base.
  struct Message final : boost::beast::http::basic_parser<true> {
    std::string head;
    std::string_view input;  // what put() is looking at
    std::string* body = nullptr;
    RequestFault fault;
    std::uint64_t chunk_left = 0;  // bytes of the current chunk that have not arrived
    int hosts = 0;
    bool has_transfer_encoding = false;
    bool is_head_request = false;
    bool is_http_1_1 = false;
    bool expects_continue = false;
    bool in_trailers = false;

    void refuse(std::uint16_t status, std::string_view message, ErrorCode& error);
    void check_field(Field field, View value, ErrorCode& error);
    void append_field(View name, View value);

    void on_request_impl(Verb, View method, View target, int version, ErrorCode&) override;
    void on_response_impl(int, View, int, ErrorCode&) override {}
    void on_field_impl(Field field, View name, View value, ErrorCode& error) override;
    void on_header_impl(ErrorCode& error) override;
    void on_body_init_impl(const boost::optional<std::uint64_t>&, ErrorCode&) override {}
    std::size_t on_body_impl(View bytes, ErrorCode&) override;
    void on_chunk_header_impl(std::uint64_t size, View extensions, ErrorCode&) override;
    std::size_t on_chunk_body_impl(std::uint64_t left, View bytes, ErrorCode&) override;
    void on_finish_impl(ErrorCode&) override {}
  };

  void note_fault(const ErrorCode& error);

  const std::size_t header_bytes_max_;
  const std::uint64_t body_bytes_max_;
  std::optional<Message> message_;
  std::size_t header_bytes_ = 0;
  RequestFault fault_;
};

}  // namespace perdure::front
