#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace perdure::front {

// What the caller's headers say about the framing, which is the server's to write.
struct CallerHeaders {
  std::optional<std::uint64_t> content_length;  // nothing when missing or not a number
  bool close = false;                           // "connection: close"
};

// Appends "HTTP/1.1 200 OK\r\n"; without a `reason`, the one that belongs to the status.
void append_status_line(std::string& out, std::uint16_t status, std::string_view reason = {});

// Takes the reason phrase, if the caller gave one (ResponseEvent::head), off the front of `head`.
std::string_view take_reason(std::string_view& head);

// Appends the lines of `head` ("name: value\r\n" each) without those that only the server may
// write: content-length, date and the hop-by-hop ones.
CallerHeaders append_caller_headers(std::string& out, std::string_view head);

void append_content_length(std::string& out, std::uint64_t length);

// Whether a response with this status has no body and no header that announces one.
[[nodiscard]] bool has_no_body(std::uint16_t status) noexcept;

// A whole response for an error that the server answers itself; its connection is closed after it.
[[nodiscard]] std::string error_response(std::uint16_t status, std::string_view message,
                                         std::string_view date_line);

// "date: Tue, 15 Nov 1994 08:12:31 GMT\r\n", written anew once a second.
class DateLine {
 public:
  // Looks at the clock.
  void refresh();
  [[nodiscard]] std::string_view text() const noexcept { return text_; }

 private:
  std::time_t second_ = -1;
  std::string text_;
};

}  // namespace perdure::front
