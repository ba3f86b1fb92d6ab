#include "front/response_head.h"

#include <array>
#include <charconv>
#include <ostream>  // Boost.Beast forgets it

#include <boost/beast/http/status.hpp>

namespace perdure::front {

namespace {

bool equals_lower(std::string_view name, std::string_view lower) {
  if (name.size() != lower.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    // Only letters and '-' are compared with, and | 0x20 maps no other header character on them.
    if ((name[i] | 0x20) != (lower[i] | 0x20)) return false;
  }
  return true;
}

bool is_owned_by_server(std::string_view name) {
  switch (name.size()) {
    case 2:
      return equals_lower(name, "te");
    case 4:
      return equals_lower(name, "date");
    case 7:
      return equals_lower(name, "trailer") || equals_lower(name, "upgrade");
    case 10:
      return equals_lower(name, "connection") || equals_lower(name, "keep-alive");
    case 14:
      return equals_lower(name, "content-length");
    case 16:
      return equals_lower(name, "proxy-connection");
    case 17:
      return equals_lower(name, "transfer-encoding");
    default:
      return false;
  }
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
}

void note(CallerHeaders& result, std::string_view name, std::string_view value) {
  if (equals_lower(name, "content-length")) {
    std::uint64_t length = 0;
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), length);
    if (parsed.ec == std::errc() && parsed.ptr == value.data() + value.size()) {
      result.content_length = length;
    }
  } else if (equals_lower(name, "connection")) {
    result.close = result.close || equals_lower(value, "close");
  }
}

void append_number(std::string& out, std::uint64_t number) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

}  // namespace

std::string_view take_reason(std::string_view& head) {
  if (!head.starts_with(' ')) return {};
  const auto end = head.find("\r\n");
  const auto reason = head.substr(1, end - 1);
  head.remove_prefix(end + 2);
  return reason;
}

void append_status_line(std::string& out, std::uint16_t status, std::string_view reason) {
  namespace http = boost::beast::http;
  if (status == 200 && reason.empty()) {
    out += "HTTP/1.1 200 OK\r\n";
    return;
  }
  out += "HTTP/1.1 ";
  append_number(out, status);
  out += ' ';
  if (!reason.empty()) {
    out += reason;
  } else if (const auto known = http::int_to_status(status); known != http::status::unknown) {
    out += http::obsolete_reason(known);
  }
  out += "\r\n";
}

CallerHeaders append_caller_headers(std::string& out, std::string_view head) {
  CallerHeaders result;
  std::size_t kept_from = 0;  // lines are copied in runs
  std::size_t line = 0;
  while (line < head.size()) {
    const auto newline = head.find('\n', line);
    const auto next = newline == std::string_view::npos ? head.size() : newline + 1;
    const auto text = head.substr(line, next - line);
    const auto name = text.substr(0, text.find(':'));
    if (is_owned_by_server(name)) {
      if (name.size() < text.size()) note(result, name, trim(text.substr(name.size() + 1)));
      out += head.substr(kept_from, line - kept_from);
      kept_from = next;
    }
    line = next;
  }
  out += head.substr(kept_from);
  return result;
}

void append_content_length(std::string& out, std::uint64_t length) {
  out += "content-length: ";
  append_number(out, length);
  out += "\r\n";
}

bool has_no_body(std::uint16_t status) noexcept {
  return status < 200 || status == 204 || status == 304;
}

std::string error_response(std::uint16_t status, std::string_view message,
                           std::string_view date_line) {
  std::string out;
  append_status_line(out, status);
  out += "content-type: text/plain; charset=utf-8\r\n";
  append_content_length(out, message.size());
  out += date_line;
  out += "connection: close\r\n\r\n";
  out += message;
  return out;
}

void DateLine::refresh() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec == second_) return;
  second_ = now.tv_sec;
  std::tm utc{};
  gmtime_r(&second_, &utc);
  // Not strftime: the names of days and months must not depend on the locale.
  static constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
  static constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const auto two = [this](int number) {
    text_ += static_cast<char>('0' + number / 10 % 10);
    text_ += static_cast<char>('0' + number % 10);
  };
  text_ = "date: ";
  text_ += kDays.substr(static_cast<std::size_t>(utc.tm_wday) * 3, 3);
  text_ += ", ";
  two(utc.tm_mday);
  text_ += ' ';
  text_ += kMonths.substr(static_cast<std::size_t>(utc.tm_mon) * 3, 3);
  text_ += ' ';
  append_number(text_, static_cast<std::uint64_t>(utc.tm_year) + 1900);
  text_ += ' ';
  two(utc.tm_hour);
  text_ += ':';
  two(utc.tm_min);
  text_ += ':';
  two(utc.tm_sec);
  text_ += " GMT\r\n";
}

}  // namespace perdure::front
