// Connection URLs as applications write them, as libpq takes them.
#pragma once

#include <string>
#include <string_view>

namespace salvor::postgres {

// "postgresql+asyncpg://...", "jdbc:postgresql://...", "postgis://..." and their like become
// "postgresql://...". Parameters that belong to a driver (pgbouncer=true, pool_size=5, schema=...)
// are left out, `ssl=require` and `ssl=true` become sslmode. Anything else comes back as it is:
// libpq judges it.
[[nodiscard]] std::string normalize_url(std::string_view url);

// What an address alone says: port 6543 (Supavisor's and PgBouncer's usual one for transactions) or
// a name that Neon and Supabase give to poolers.
[[nodiscard]] bool looks_like_transaction_pooler(std::string_view host, std::string_view port);

}  // namespace salvor::postgres
