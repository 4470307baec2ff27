// JSON Web Tokens signed with an RSA key (RFC 7515 with RS256 of RFC 7518), as Google's and others'
// token services take them in exchange for an access token.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/secret.h"

namespace salvor {

// `pem`: a private RSA key (PKCS #8 or #1) of 2048 bits or more. The JSON texts are signed as they
// are. Throws Error{kPermission} for what is not such a key; never with a part of it.
[[nodiscard]] Secret sign_jwt(const Secret& pem, std::string_view header_json,
                              std::string_view claims_json);

// RFC 4648, section 5, without padding.
[[nodiscard]] std::string to_base64url(ByteView bytes);

}  // namespace salvor
