# For the scripts beside it, which define `fail`: packages of any release of Debian, fetched and
# verified by apt from the mirror that this machine uses for Debian, so that no host is named here.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

needs_debian() {
    command -v apt-get >/dev/null || fail "needs apt, and a mirror of Debian"
    [ -r "$keyring" ] || fail "needs $keyring (package debian-archive-keyring)"
}

# Where this machine has its Debian from, given options for apt.
find_mirror() {
    apt-get "$@" indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian //p' | head -n 1
}

# use_debian <deb or deb-src> <release> <folder>: sets `mirror`, and `apt` to an apt-get that knows
# this release alone, keeps to the folder, and takes nothing for installed.
use_debian() {
    local type=$1 release=$2 folder=$3
    mkdir -p "$folder"/{lists,cache/archives}/partial
    touch "$folder/status"
    local own=(
        -o "Dir::State=$folder" -o "Dir::State::Lists=$folder/lists"
        -o "Dir::State::Status=$folder/status" -o "Dir::Cache=$folder/cache"
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none
    )
    mirror=$(find_mirror)
    if [ -z "$mirror" ]; then # apt does not know whose they are before it has asked them
        apt-get -q "${own[@]}" update >"$folder/log" 2>&1 || true
        mirror=$(find_mirror "${own[@]}")
    fi
    [ -n "$mirror" ] || fail "apt knows no mirror of Debian that answers; see /etc/apt"

    echo "$type [signed-by=$keyring] $mirror $release main" >"$folder/sources.list"
    apt=(
        apt-get -q "${own[@]}" -o APT::Default-Release=
        -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
    )
    # `update` is content with a mirror that does not answer; what follows is not.
    "${apt[@]}" update >"$folder/log" 2>&1 || fail "apt-get update: $(tail -n 3 "$folder/log")"
}
