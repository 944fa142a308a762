// Folders as one stream of bytes: the ustar format (POSIX.1-1988) with pax records (POSIX.1-2001) where a name or a
// size needs them.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

namespace masbak::registry {

// Packs every regular file below `folder`, in byte order of the paths, with the same owner, mode and time for all,
// so that the same content gives the same bytes on every machine. Symbolic links are followed; empty folders and
// hidden files (a name that starts with '.') are left out, as in base::digest_folder.
void pack_folder(const std::filesystem::path& folder, const std::function<void(std::string_view)>& sink);

// Unpacks into `folder`, which appears whole or not at all (ALREADY_EXISTS if it is there and not empty). DATA_LOSS
// for a truncated or damaged tar; INVALID_ARGUMENT for an entry that is not a plain file or folder, or whose name
// would lie outside.
void unpack_tar(const std::filesystem::path& tar, const std::filesystem::path& folder);

}  // namespace masbak::registry
