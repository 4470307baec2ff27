// key add, list, passwd, remove: the passwords that open a repository.
#include "base/format.h"
#include "cli/commands.h"
#include "cli/output/table.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "engine/snapshots/snapshot_filter.h"
#include "repo/key_store.h"

namespace salvor::cli {

namespace {

struct NewKeyOptions {
  std::optional<std::string> password_file;
  bool insecure_no_password = false;
  std::optional<std::string> user;
  std::optional<std::string> host;
};

struct RemoveOptions {
  std::string id;
};

std::vector<OptionSpec> new_key_table(NewKeyOptions& options) {
  return {
      {.long_name = "host",
       .value_name = "string",
       .help = "the hostname for new key",
       .target = &options.host},
      {.long_name = "new-insecure-no-password",
       .help = "add an empty password for the repository (insecure)",
       .target = &options.insecure_no_password},
      {.long_name = "new-password-file",
       .value_name = "file",
       .help = "file from which to read the new password",
       .target = &options.password_file,
       .hint = ValueHint::kFile},
      {.long_name = "user",
       .value_name = "string",
       .help = "the username for new key",
       .target = &options.user},
  };
}

KeyId store_new_key(Session& session, const OpenedRepository& opened,
                    const NewKeyOptions& options) {
  const PasswordSources sources{.file = options.password_file,
                                .command = std::nullopt,
                                .variable = "",
                                .none = options.insecure_no_password,
                                .prompt = "enter new password: ",
                                .confirm_prompt = "enter password again: "};
  const FoundPassword found =
      find_password(sources, session.environment, session.terminal, opened.context.stop);
  const NewKey key{.username = options.user.value_or(current_user_name()),
                   .hostname = options.host.value_or(current_host_name()),
                   .kdf = std::nullopt};
  return add_key(opened.context, opened.repository->storage(), opened.repository->master_key(),
                 found.password, key);
}

void tell(Session& session, std::string_view type, const KeyId& id, const std::string& text) {
  if (session.terminal.json()) {
    JsonWriter json;
    session.terminal.print_json(json.begin_message(type).field("id", id.hex()).end_object());
  } else {
    session.terminal.print_summary(text + id.hex());
  }
}

int run_add(const NewKeyOptions& options, Session& session) {
  const OpenedRepository opened = open_repository(session, {LockMode::kShared, NoLock::kIgnored});
  const KeyId id = store_new_key(session, opened, options);
  tell(session, "key_added", id, "saved new key with ID ");
  return 0;
}

int run_passwd(const NewKeyOptions& options, Session& session) {
  const OpenedRepository opened =
      open_repository(session, {LockMode::kExclusive, NoLock::kIgnored});
  const KeyId id = store_new_key(session, opened, options);
  // The new key was opened and compared before this: from here on the old one may go.
  opened.lock->confirm(opened.context);
  remove_key(opened.context, opened.repository->storage(), opened.repository->key_id());
  tell(session, "key_changed", id, "saved new key with ID ");
  return 0;
}

int run_remove(const RemoveOptions& options, Session& session) {
  const OpenedRepository opened =
      open_repository(session, {LockMode::kExclusive, NoLock::kIgnored});
  Storage& storage = opened.repository->storage();
  const auto id =
      KeyId::parse(find_object_name(opened.context, storage, ObjectKind::kKey, options.id));
  if (!id) {
    throw Error(ErrorCode::kDamaged, "the key has a name that is not an id");
  }
  if (*id == opened.repository->key_id()) {
    throw Error(ErrorCode::kUsage, "refusing to remove the key that opens the repository now",
                "Use another key's password for this, or change this one with \"salvor key "
                "passwd\".");
  }
  opened.lock->confirm(opened.context);
  remove_key(opened.context, storage, *id);
  tell(session, "key_removed", *id, "removed key ");
  return 0;
}

void print_keys_json(Session& session, const std::vector<StoredKey>& keys, const KeyId& current) {
  JsonWriter json;
  json.begin_array();
  for (const StoredKey& key : keys) {
    json.begin_object().field("current", key.id == current).field("id", key.id.hex());
    json.field("userName", key.document.username).field("hostName", key.document.hostname);
    json.field("created", local_time_text(key.document.created)).end_object();
  }
  session.terminal.print_json(json.end_array());
}

int run_list(Session& session) {
  const OpenedRepository opened = open_repository(session, {LockMode::kShared});
  const std::vector<StoredKey> keys = list_keys(opened.context, opened.repository->storage());
  const KeyId& current = opened.repository->key_id();
  if (session.terminal.json()) {
    print_keys_json(session, keys, current);
    return 0;
  }
  Table table;
  for (const char* header : {" ID", "User", "Host", "Created"}) {
    table.add_column(header);
  }
  for (const StoredKey& key : keys) {
    table.add_row({(key.id == current ? "*" : " ") + key.id.short_hex(),
                   printable(key.document.username), printable(key.document.hostname),
                   local_time_text(key.document.created)});
  }
  session.terminal.print(table.text());
  return 0;
}

CommandSpec add_spec() {
  auto options = std::make_shared<NewKeyOptions>();
  return {
      .name = "add",
      .summary = "Add a new key (password) to the repository; returns the new key ID",
      .description =
          "Makes a further key: from then on the new password opens the repository as "
          "well. It is tried out before the command returns.",
      .options = new_key_table(*options),
      .examples = {{"salvor key add --new-password-file /root/emergency.txt --user emergency",
                    "A second password, to be kept in a safe"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run_add(*options, session); },
  };
}

CommandSpec passwd_spec() {
  auto options = std::make_shared<NewKeyOptions>();
  return {
      .name = "passwd",
      .summary =
          "Change key (password); creates a new key ID and removes the old key ID, returns "
          "new key ID",
      .description =
          "Makes a key for the new password, tries it out and then removes the key that "
          "opened the repository. Other keys stay. Whoever has a copy of the old key "
          "file and the old password can still read the data: the master key "
          "stays the same.",
      .options = new_key_table(*options),
      .examples = {{"salvor key passwd", "Asks for the old and twice for the new password"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run_passwd(*options, session); },
  };
}

CommandSpec remove_spec() {
  auto options = std::make_shared<RemoveOptions>();
  return {
      .name = "remove",
      .summary = "Remove key ID (password) from the repository",
      .description =
          "Removes a key, so that its password opens the repository no more. The key in "
          "use cannot be removed.",
      .positionals = {{.name = "ID",
                       .target = &options->id,
                       .help = "the key's id or an unambiguous beginning of it",
                       .minimum = 1}},
      .examples = {{"salvor key remove 55d9fb92", "After \"salvor key list\" showed its id"}},
      .exit_codes = with_exit_codes(kRepositoryExitCodes, {{24, "there is no such key"}}),
      .run = [options](Session& session) { return run_remove(*options, session); },
  };
}

}  // namespace

CommandSpec key_command() {
  CommandSpec group{
      .name = "key",
      .summary = "Manage keys (passwords)",
      .description =
          "Sets multiple access keys or passwords per repository. Every password opens "
          "the same master key.",
  };
  CommandSpec list{
      .name = "list",
      .summary = "List keys (passwords)",
      .description =
          "Lists all the keys: id, user, host and time of making. The one that opened the "
          "repository is marked with an asterisk.",
      .exit_codes = kRepositoryExitCodes,
      .run = run_list,
  };
  group.commands = {add_spec(), list, passwd_spec(), remove_spec()};
  return group;
}

}  // namespace salvor::cli
