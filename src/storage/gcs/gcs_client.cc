#include "storage/gcs/gcs_client.h"

#include <algorithm>

#include "storage/gcs/gcs_errors.h"

namespace salvor {

GcsClient::GcsClient(GcsSettings settings, const StorageOptions& options)
    : settings_(std::move(settings)),
      tokens_(options),
      client_(options.http),
      clock_(settings_.endpoint) {}

WallTime GcsClient::server_time(const Context& context) {
  if (!clock_.known()) {
    (void)execute(context,
                  {.method = "GET",
                   .path = "/storage/v1/b/" + settings_.bucket + "?fields=name",
                   .what = "cannot ask for the time of " + settings_.description(),
                   .permission = "storage.buckets.get"},
                  {403, 404});
  }
  return clock_.now(context);
}

HttpResponse GcsClient::execute(const Context& context, const GcsCall& call,
                                std::initializer_list<int> expected) {
  for (unsigned attempt = 0;; ++attempt) {
    HttpRequest request{.method = call.method,
                        .url = settings_.endpoint + call.path,
                        .headers = call.headers,
                        .body = call.body,
                        .into = call.into,
                        .limit_bytes = call.limit_bytes};
    Secret token;
    if (!settings_.anonymous) {
      token = tokens_.get(context);
      request.headers.push_back({"Authorization", "Bearer " + std::string(token.reveal())});
    }
    if (!settings_.user_project.empty()) {
      request.headers.push_back({"x-goog-user-project", settings_.user_project});
    }
    const MonotonicTime began = context.clock.monotonic();
    HttpResponse response = client_.request(context, request);
    clock_.learn(context, response, context.clock.monotonic() - began);
    if (response.success()) {
      return response;
    }
    if (response.status == 401 && attempt == 0 && !settings_.anonymous && tokens_.renew(token)) {
      continue;
    }
    if (std::ranges::find(expected, response.status) != expected.end()) {
      return response;
    }
    throw gcs_error(settings_, parse_gcs_failure(response), response, call.what, call.permission);
  }
}

}  // namespace salvor
