# `cmake --install build/release --prefix DIR`: the program with the data it reads. An installed assay finds them in
# ../share/assay beside its own folder (datasets/data_folders.cpp).
include(GNUInstallDirs)
install(TARGETS assay RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
if(ASSAY_HAVE_MPI)
  install(TARGETS assay_rank RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
install(DIRECTORY datasets suites DESTINATION "${CMAKE_INSTALL_DATADIR}/assay" FILES_MATCHING
  PATTERN "*.toml" PATTERN "*.csv" PATTERN "*.csv.gz" PATTERN "*.db")
install(DIRECTORY docs/ DESTINATION "${CMAKE_INSTALL_DOCDIR}" FILES_MATCHING PATTERN "*.md")
install(FILES README.md LICENSE NOTICE THIRD-PARTY.md CHANGELOG.md CITATION.cff DESTINATION "${CMAKE_INSTALL_DOCDIR}")
