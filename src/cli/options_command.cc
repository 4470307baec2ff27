#include "cli/commands.h"
#include "cli/session.h"

namespace salvor::cli {

CommandSpec options_command() {
  return {
      .name = "options",
      .summary = "Print list of extended options",
      .description =
          "Lists what can be set with -o key=value. Options of storages that are not in use are "
          "left alone, so that one command line serves several.",
      .heading = "Additional Commands",
      .run =
          [](Session& session) {
            session.terminal.print(
                "All Extended Options:\n"
                "  audit.state        where this machine keeps what it knows of the audit trail\n"
                "  audit.trail        on: every command is recorded in the repository "
                "(docs/evidence.md)\n"
                "  audit.writer       this machine's name in it (default: the host's)\n"
                "  azure.access-tier  of packs: Hot, Cool, Cold\n"
                "  azure.as-of        read a container with versioning as it was then: "
                "2026-11-20T10:00:00Z\n"
                "  azure.block-size   MiB: larger objects are uploaded in pieces (default: 64)\n"
                "  azure.connections  requests at a time (default: 8)\n"
                "  azure.endpoint     another server's address\n"
                "  azure.object-lock  unlocked or locked, for all but locks\n"
                "  azure.object-lock-days\n"
                "  from.<option>      the option for --from-repo alone (copy, init)\n"
                "  gs.as-of           read a versioned bucket as it was then: "
                "2026-11-20T10:00:00Z\n"
                "  gs.connections     requests at a time (default: 8)\n"
                "  gs.endpoint        another server's address\n"
                "  gs.kms-key         encryption by the server with this key\n"
                "  gs.object-lock     unlocked or locked, for all but locks\n"
                "  gs.object-lock-days\n"
                "  gs.region          where init makes the bucket (default: us)\n"
                "  gs.storage-class   of packs\n"
                "  gs.unsafe-anonymous-auth\n"
                "  gs.user-project    the project that pays for the requests\n"
                "  limits.requests    calls of the storage a second (default: no limit)\n"
                "  limits.windows     rates by the hour, local time, in KiB/s up/down, 0 for "
                "none:\n"
                "                     08:00-18:00=500/2000,22:00-06:00=0/0\n"
                "  local.connections  accepted for restic's sake, without effect: as many as the "
                "work needs\n"
                "  local.layout       only \"default\" is known\n"
                "  rclone.args        in place of \"serve restic --b2-hard-delete\"\n"
                "  rclone.connections at most so many at a time (default: 5)\n"
                "  rclone.program     the program to run (default: rclone)\n"
                "  rest.connections   at most so many at a time (default: 5)\n"
                "  s3.as-of           read a versioned bucket as it was then: "
                "2026-11-20T10:00:00Z\n"
                "  s3.bucket-lookup   auto, dns or path: where the bucket's name goes\n"
                "  s3.checksum        auto, sha256, md5 or none: besides the signed SHA-256\n"
                "  s3.conditional-put If-None-Match on uploads (default true)\n"
                "  s3.connections     requests at a time (default 8)\n"
                "  s3.list-objects-v1 the old listing, for servers that know no other\n"
                "  s3.object-lock     governance or compliance, for all but locks\n"
                "  s3.object-lock-days\n"
                "  s3.region          of the bucket\n"
                "  s3.sse             AES256, aws:kms: encryption by the server\n"
                "  s3.sse-kms-key-id  its key\n"
                "  s3.storage-class   of packs\n"
                "  s3.unsafe-anonymous-auth\n"
                "  sftp.args          more arguments for ssh, before ours\n"
                "  sftp.command       the program to run instead of ssh\n"
                "  sftp.connections   at most so many at a time (default: 5)\n");
            return 0;
          },
  };
}

}  // namespace salvor::cli
